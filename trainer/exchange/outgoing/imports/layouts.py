"""Every layout that an imported model is exported in, and the README.md beside it."""

from pathlib import Path

import onnx
import torch
from safetensors.torch import save_file
from torch import nn

from exchange.incoming.clip_text import ClipText
from exchange.outgoing.as_onnx import export_floats, own_shapes, with_table, write_image
from exchange.outgoing.imports import as_open_clip, as_transformers
from exchange.outgoing.imports.read import ImportedModel
from exchange.outgoing.imports.text_towers import write_tokenizer
from exchange.outgoing.imports.vision_towers import NO_NAMES, image_code, own_shape_patch
from exchange.outgoing.tokenizer_files import write_json
from exchange.refusal import CannotExpress

WHOLE = """import torch
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

model, tokenizer = AutoModel.from_pretrained(FOLDER), AutoTokenizer.from_pretrained(FOLDER)
texts = model.get_text_features(**tokenizer(["a dog runs"], padding=True, truncation=True, return_tensors="pt"))
pixels = AutoImageProcessor.from_pretrained(FOLDER)(picture, return_tensors="pt")
images = model.get_image_features(**pixels)  # neither is at unit length yet"""
TEXTS = """from transformers import AutoTokenizer, CLIPTextModelWithProjection

tokenizer = AutoTokenizer.from_pretrained("student")
inputs = tokenizer(["a dog runs"], padding=True, truncation=True, return_tensors="pt")
vectors = CLIPTextModelWithProjection.from_pretrained("student")(**inputs).text_embeds  # not yet at unit length"""
SIGLIP_TEXTS = """from transformers import AutoTokenizer, SiglipTextModel

tokenizer = AutoTokenizer.from_pretrained("student")
inputs = tokenizer(["a dog runs"], padding="max_length", truncation=True, return_tensors="pt")
vectors = SiglipTextModel.from_pretrained("student")(input_ids=inputs["input_ids"]).pooler_output  # not yet at unit length"""
OPEN_CLIP = """import open_clip

model, _, prepare = open_clip.create_model_and_transforms("local-dir:FOLDER")
texts = model.encode_text(open_clip.get_tokenizer("local-dir:FOLDER")(["a dog runs"]), normalize=True)
images = model.encode_image(prepare(picture)[None], normalize=True)"""
GRAPHS = """import onnxruntime
from transformers import AutoTokenizer

inputs = AutoTokenizer.from_pretrained("student")(["a dog runs"], padding=True, truncation=True, return_tensors="np")
vectors = onnxruntime.InferenceSession("student/model.onnx").run(None, dict(inputs))[0]"""
TENSORS = """from safetensors.torch import load_file

tensors = load_file("model.safetensors")  # what they are says config.json"""
TOLD = "`model_int8.onnx` is what servers run: exact for one text a run, without padding."
SQUARES = (
    "open_clip makes a square of every picture. Servers keep its shape, as transformers' SigLIP 2 does: vectors of pictures that are no "
    "squares are therefore others than the served ones."
)


class PaddedTexts(nn.Module):
    """The text tower over padded ids and their mask."""

    def __init__(self, text: ClipText) -> None:
        super().__init__()
        self.text = text

    def forward(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E]."""
        return self.text(ids_BT, mask_BT.sum(1) - 1)


def write(model: ImportedModel, layout: str, out: Path) -> list[str]:
    """Write the layout; returns what a user opens. Raises CannotExpress where the library has no such model."""
    writers = {"hf": write_transformers, "onnx": write_onnx, "open_clip": write_open_clip, "safetensors": write_tensors}
    if layout not in writers:
        raise CannotExpress(
            f"{layout} has no layout of two towers, and {model.name} was imported with its own: {', '.join(writers)} have one"
        )
    written, parts = writers[layout](model, out)
    title = f"# {model.name} {model.manifest['version']}, as {layout}"
    page = [title, f"In this folder: {', '.join(written)}.", *parts, model.weights]
    (out / "README.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")
    return written


def write_transformers(model: ImportedModel, out: Path) -> tuple[list[str], list[str]]:
    """(what is opened, paragraphs of the page), as all below."""
    folders, found, absent = as_transformers.write(model, out)
    is_siglip = model.text.shape.pooling == "context"
    code = {".": WHOLE.replace("padding=True", 'padding="max_length"') if is_siglip else WHOLE}
    code |= {"student": SIGLIP_TEXTS if is_siglip else TEXTS}
    if "image" in folders:
        code["image"] = image_code(out / "image")
    lines = [python(code[folder].replace("FOLDER", '"."')) for folder in folders]
    files = ["config.json", "model.safetensors"] if folders == ["."] else folders
    return files, [*lines, *distances(found), *absent]


def write_open_clip(model: ImportedModel, out: Path) -> tuple[list[str], list[str]]:
    """A folder that open_clip opens."""
    if model.image is None:
        raise CannotExpress(f"the image tower of {model.name} cannot be written: {NO_NAMES}")
    found = as_open_clip.write(model, model.image, out)
    squares = [SQUARES] if own_shape_patch(model) else []
    files = ["open_clip_config.json", "open_clip_model.safetensors"]
    return files, [python(OPEN_CLIP), *distances(found), *squares]


def write_onnx(model: ImportedModel, out: Path) -> tuple[list[str], list[str]]:
    """Whole graphs from ids and from pixels."""
    shape = model.text.shape
    if shape.padding is not None:
        raise CannotExpress(
            f"every token of the text tower of {model.name} sees the padding, up to {shape.context_length} tokens, which --format onnx has "
            "no words for: --format open_clip and --format safetensors have it"
        )
    (out / "student").mkdir(parents=True)
    opset = model.manifest["text"]["graph"]["opset"]
    export_floats(PaddedTexts(model.text).eval(), out / "student" / "model.onnx", opset)
    onnx.save_model(with_table(model.folder, model.manifest, "student"), str(out / "student" / "model_int8.onnx"))
    write_tokenizer(out / "student", model)
    write_image(model.folder, model.manifest, out / "image")
    return ["student", "image"], [TOLD, python(GRAPHS), *own_shapes(model.manifest)]


def write_tensors(model: ImportedModel, out: Path) -> tuple[list[str], list[str]]:
    """The text tower's tensors under the names of `ClipText`, its shape, the tokenizer; the image tower as the served graph."""
    tensors = {f"text.student.{name}": value.contiguous() for name, value in model.text.state_dict().items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    write_json(out / "config.json", {"name": model.name, "text": {"student": vars(model.text.shape)}})
    vocabulary = write_tokenizer(out, model)
    write_image(model.folder, model.manifest, out / "image")
    return ["model.safetensors", "config.json", *vocabulary, "image"], [python(TENSORS), *own_shapes(model.manifest)]


def python(code: str) -> str:
    """A block of Markdown."""
    return f"```python\n{code}\n```"


def distances(found: dict[str, float]) -> list[str]:
    """A paragraph on how far the library's vectors are from the model's."""
    words = {
        "images": "pictures, to those of the served graph",
        "texts": "texts, to the served weights in float layers",
    }
    parts = [f"{words[name]}: {value:.1e}" for name, value in found.items()]
    return (
        [f"The largest difference of a number in a unit vector, when this was written: of {'; of '.join(parts)}."]
        if parts
        else []
    )
