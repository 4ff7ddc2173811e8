"""The README.md of an exported folder: what is in it, how it is opened, and how near its vectors are to the served ones."""

from pathlib import Path

from exchange.outgoing.as_onnx import own_shapes
from exchange.outgoing.floats import FloatModel
from exchange.outgoing.imports.vision_towers import image_code
from exchange.outgoing.tokenizer_files import SPELLED

UNIT = "torch.nn.functional.normalize"
MEAN = """mask = inputs["attention_mask"][..., None].float()
    states = model(**inputs).last_hidden_state
    pooled = (states * mask).sum(1) / mask.sum(1)"""
OPEN = {
    "sentence-transformers": """from sentence_transformers import SentenceTransformer

vectors = SentenceTransformer("{tier}").encode(["A dog runs through the snow."])""",
    "hf": f"""import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

tokenizer, model = AutoTokenizer.from_pretrained("{{tier}}"), AutoModel.from_pretrained("{{tier}}")
projection = load_file("{{tier}}/projection.safetensors")
with torch.no_grad():
    inputs = tokenizer(["A dog runs through the snow."], padding=True, truncation=True, return_tensors="pt")
    {MEAN}
    vectors = {UNIT}(pooled @ projection["weight"].T + projection["bias"], dim=-1)""",
    "onnx": """import numpy, onnxruntime
from tokenizers import Tokenizer

ids = numpy.array([Tokenizer.from_file("{tier}/tokenizer.json").encode("A dog runs through the snow.").ids])
session = onnxruntime.InferenceSession("{tier}/model.onnx")
vectors = session.run(None, {{"input_ids": ids, "attention_mask": numpy.ones_like(ids)}})[0]""",
    "safetensors": """from safetensors.torch import load_file

tensors = load_file("model.safetensors")  # what they are says config.json""",
}
IMAGE_HF = f"""from transformers import AutoImageProcessor, AutoModelForImageClassification

pixels = AutoImageProcessor.from_pretrained("image")(picture, return_tensors="pt")
vectors = {UNIT}(AutoModelForImageClassification.from_pretrained("image")(**pixels).logits, dim=-1)"""
NO_IMAGE = {
    "sentence-transformers": "The image tower is not in this layout: `--format onnx` writes it.",
    "hf": "The image tower is not here: transformers wraps towers of timm, and this is none, or the run of `clip` with its weights was "
    "not found (`--runs DIR` names the folder of runs). `--format onnx` writes it.",
}


def page(model: FloatModel, layout: str, written: list[str], folder: Path) -> str:
    """The page as Markdown, for a folder that has all but the page."""
    manifest = model.manifest
    first = written[0]
    parts = [
        f"# {manifest['name']} {manifest['version']}, as {layout}",
        f"In this folder: {', '.join(written)}. Vectors have {manifest['embed_dim']} numbers at unit length; cut to "
        f"{', '.join(map(str, manifest['matryoshka_dims']))} and brought to unit length again they still work.",
        *([] if first == "image" else [f"```python\n{OPEN[layout].format(tier=first)}\n```"]),
    ]
    if layout == "hf" and "image" in written:
        code = IMAGE_HF if model.image_tower is not None else image_code(folder / "image")
        parts.append(f"```python\n{code}\n```")
    elif layout in NO_IMAGE and "image" not in written:
        parts.append(NO_IMAGE[layout])
    parts.append(model.weights)
    if layout == "onnx":
        parts.append(
            "`model_int8.onnx` is the graph that servers run, with the token table inside: a run of one text without padding "
            "gives the served vector (a text of more than 128 tokens: nearly, because servers cut it into several runs). The "
            "static tier reads ids without special tokens: `encode(text, add_special_tokens=False)`."
        )
        parts += own_shapes(manifest)
    if model.wordpiece.spells:
        parts.append(SPELLED)
    licences = sorted({parent["licence"] for parent in manifest["lineage"]["parents"]})
    if licences:
        parts.append(f"Made from parts under: {', '.join(licences)}. MODEL_CARD.md of the model says which.")
    return "\n\n".join(parts) + "\n"
