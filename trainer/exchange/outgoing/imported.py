"""An imported CLIP or SigLIP for other libraries: its text tower from the served graph, dequantised, its image tower as the served graph.

Shapes: B texts, T tokens, D width, E joint dimensions.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import save_file
from torch import nn

from contracts.types import ModelManifest
from exchange.incoming.clip_text import GRAPH_ACTIVATIONS, ClipText, ClipTextShape
from exchange.outgoing.as_onnx import export_floats, with_table, write_image
from exchange.outgoing.text_towers import write_clip, write_siglip, write_tokenizer
from exchange.outgoing.tokenizer_files import write_json
from exchange.refusal import CannotExpress
from towers.clip_bpe import ClipBpe
from towers.exported_files import read_manifest
from towers.onnx_export import ZERO_POINT
from towers.onnx_nodes import attributes_of
from towers.sentencepiece_text import SentencePiece
from towers.served_text import table_of, tokenizer_in
from towers.wordpiece import WordPiece

WEIGHTS = (
    "Text weights are those that servers multiply with: int8 times the scale of its row or column, as float32. Servers also round "
    "activations to 256 levels, which float layers do not."
)
OPEN = {
    "hf": """from transformers import AutoTokenizer, CLIPTextModelWithProjection

tokenizer = AutoTokenizer.from_pretrained("student")
inputs = tokenizer(["a dog runs"], padding=True, truncation=True, return_tensors="pt")
vectors = CLIPTextModelWithProjection.from_pretrained("student")(**inputs).text_embeds  # not yet at unit length""",
    "onnx": """import onnxruntime
from transformers import AutoTokenizer

inputs = AutoTokenizer.from_pretrained("student")(["a dog runs"], padding=True, truncation=True, return_tensors="np")
vectors = onnxruntime.InferenceSession("student/model.onnx").run(None, dict(inputs))[0]""",
    "safetensors": """from safetensors.torch import load_file

tensors = load_file("model.safetensors")  # what they are says config.json""",
}
OPEN_SIGLIP = """from transformers import AutoTokenizer, SiglipTextModel

tokenizer = AutoTokenizer.from_pretrained("student")
inputs = tokenizer(["a dog runs"], padding="max_length", truncation=True, return_tensors="pt")
vectors = SiglipTextModel.from_pretrained("student")(input_ids=inputs["input_ids"]).pooler_output  # not yet at unit length"""


@dataclass(frozen=True)
class ImportedModel:
    """A model of `folder` with its text tower as a float module."""

    folder: Path
    manifest: ModelManifest
    tokenizer: ClipBpe | SentencePiece
    text: ClipText
    weights: str = WEIGHTS

    @property
    def name(self) -> str:
        """As the manifest has it."""
        return self.manifest["name"]


class PaddedTexts(nn.Module):
    """The text tower over padded ids and their mask."""

    def __init__(self, text: ClipText) -> None:
        super().__init__()
        self.text = text

    def forward(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E]."""
        return self.text(ids_BT, mask_BT.sum(1) - 1)


def is_imported(folder: Path) -> bool:
    """Whether the model of a folder has the text tower of a published checkpoint."""
    return read_manifest(folder)["text"]["tokenizer"]["type"] != "wordpiece"


def read_imported(folder: Path) -> ImportedModel:
    """The model of a folder that `import` wrote."""
    manifest = read_manifest(folder)
    tokenizer = tokenizer_in(folder, manifest)
    assert not isinstance(tokenizer, WordPiece)
    return ImportedModel(folder, manifest, tokenizer, text_from_graph(folder, manifest))


def text_from_graph(folder: Path, manifest: ModelManifest) -> ClipText:
    """The text tower behind its int8 graph, with float32 weights."""
    graph = onnx.load(str(folder / manifest["text"]["graph"]["file"]["path"])).graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = {node.output[0]: node for node in graph.node}
    attention = [node for node in graph.node if node.op_type == "MultiHeadAttention"]
    rows_VD = table_of(folder, manifest["text"]["table"])
    padding = None
    if "padding.rows" in held:
        # The row was stored before it was rounded: the nearest of the table is its token.
        padding = int(np.square(rows_VD - held["padding.rows"][0, 0]).sum(1).argmin())
    shape = ClipTextShape(
        vocabulary_size=len(rows_VD),
        context_length=len(held["positions.weight"]),
        width=rows_VD.shape[1],
        heads=attributes_of(attention[0])["num_heads"],
        layers=len(attention),
        hidden=len(held["block0.up.bias"]),
        embed_dim=held["projection.weight"].shape[1],
        activation=next(name for name, op in GRAPH_ACTIVATIONS.items() if op == nodes["block0.gelu"].op_type),
        eps=round(attributes_of(nodes["norm"])["epsilon"], 9),
        padding=padding,
        pooling="end" if nodes["last"].input[0] == "length" else "context",
        projection_bias="projection.bias" in held,
    )
    state = {
        "table.weight": rows_VD,
        "positions": held["positions.weight"],
        "norm.weight": held["norm.weight"],
        "norm.bias": held["norm.bias"],
        "projection.weight": held["projection.weight"].T,
    }
    if shape.projection_bias:
        state["projection.bias"] = held["projection.bias"]
    for number in range(shape.layers):
        for own, name in {"norm_attention": "norm1", "norm_feed_forward": "norm2"}.items():
            state |= {
                f"blocks.{number}.{own}.{part}": held[f"block{number}.{name}.{part}"] for part in ("weight", "bias")
            }
        for part in ("qkv", "out", "up", "down"):
            name = f"block{number}.{part}"
            columns = held[f"{name}.weight"].astype(np.float32) - ZERO_POINT
            state[f"blocks.{number}.{part}.weight"] = (columns * held[f"{name}.scale"]).T
            state[f"blocks.{number}.{part}.bias"] = held[f"{name}.bias"]
    text = ClipText(shape)
    text.load_state_dict({name: torch.from_numpy(np.array(value, np.float32)) for name, value in state.items()})
    return text.eval()


# ---- layouts -------------------------------------------------------------------------------------


def write(model: ImportedModel, layout: str, out: Path) -> list[str]:
    """Write the layout; returns what a user opens."""
    if layout not in OPEN:
        raise CannotExpress(
            f"{model.manifest['name']} was imported: its image tower is a graph here, without the names that {layout} needs. --format "
            "hf writes the text tower, --format onnx and --format safetensors write what is served"
        )
    is_siglip = model.text.shape.pooling == "context"
    if layout != "safetensors" and model.text.shape.padding is not None and not (is_siglip and layout == "hf"):
        refuse_padding(model, layout)
    writers = {
        "hf": write_text_tower,
        "onnx": write_onnx,
        "safetensors": write_tensors,
    }
    written = writers[layout](model, out)
    parts = [
        f"# {model.manifest['name']} {model.manifest['version']}, as {layout}",
        f"In this folder: {', '.join(written)}.",
    ]
    if layout == "hf":
        parts.append("The image tower is not in this layout: `--format onnx` writes the graph that is served.")
    if layout == "onnx":
        parts.append("`model_int8.onnx` is what servers run: exact for one text a run, without padding.")
    parts += [f"```python\n{OPEN_SIGLIP if is_siglip and layout == 'hf' else OPEN[layout]}\n```", model.weights]
    (out / "README.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return written


def refuse_padding(model: ImportedModel, layout: str) -> None:
    """A tower that sees its padding is none that a mask, or transformers' CLIP, can tell of."""
    raise CannotExpress(
        f"every token of the text tower of {model.manifest['name']} sees the padding, up to {model.text.shape.context_length} tokens, "
        f"which --format {layout} has no words for: --format safetensors has"
    )


def write_text_tower(model: ImportedModel, out: Path) -> list[str]:
    """The class of transformers that has such a text tower."""
    (write_siglip if model.text.shape.pooling == "context" else write_clip)(model, out / "student")
    return ["student"]


def write_onnx(model: ImportedModel, out: Path) -> list[str]:
    """Whole graphs from ids and from pixels."""
    (out / "student").mkdir(parents=True)
    export_floats(
        PaddedTexts(model.text).eval(), out / "student" / "model.onnx", model.manifest["text"]["graph"]["opset"]
    )
    onnx.save_model(with_table(model.folder, model.manifest, "student"), str(out / "student" / "model_int8.onnx"))
    write_tokenizer(out / "student", model)
    write_image(model.folder, model.manifest, out / "image")
    return ["student", "image"]


def write_tensors(model: ImportedModel, out: Path) -> list[str]:
    """The text tower's tensors under the names of `ClipText`, its shape, the tokenizer; the image tower as the served graph."""
    tensors = {f"text.student.{name}": value.contiguous() for name, value in model.text.state_dict().items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    write_json(out / "config.json", {"name": model.manifest["name"], "text": {"student": vars(model.text.shape)}})
    vocabulary = write_tokenizer(out, model)
    write_image(model.folder, model.manifest, out / "image")
    return ["model.safetensors", "config.json", *vocabulary, "image"]
