"""An imported CLIP for other libraries: its text tower from the served graph, dequantised, its image tower as the served graph.

Shapes: B texts, T tokens, D width, E joint dimensions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import save_file
from torch import nn

from contracts.types import ModelManifest
from exchange.incoming.clip_text import ClipBlock, ClipText, ClipTextShape
from exchange.outgoing.as_onnx import export_floats, with_table, write_image
from exchange.outgoing.tokenizer_files import write_json
from exchange.refusal import CannotExpress
from towers.clip_bpe import END, START, ClipBpe
from towers.exported_files import read_manifest
from towers.onnx_export import ZERO_POINT
from towers.onnx_nodes import attributes_of
from towers.served_text import table_of, tokenizer_in

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


@dataclass(frozen=True)
class ImportedModel:
    """A model of `folder` with its text tower as a float module."""

    folder: Path
    manifest: ModelManifest
    tokenizer: ClipBpe
    text: ClipText
    weights: str = WEIGHTS


class PaddedTexts(nn.Module):
    """The text tower over padded ids and their mask."""

    def __init__(self, text: ClipText) -> None:
        super().__init__()
        self.text = text

    def forward(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Unit vectors [B, E]."""
        return self.text(ids_BT, mask_BT.sum(1) - 1)


def is_imported(folder: Path) -> bool:
    """Whether the model of a folder has CLIP's own text tower."""
    return read_manifest(folder)["text"]["tokenizer"]["type"] == "clip_bpe"


def read_imported(folder: Path) -> ImportedModel:
    """The model of a folder that `import` wrote."""
    manifest = read_manifest(folder)
    tokenizer = tokenizer_in(folder, manifest)
    assert isinstance(tokenizer, ClipBpe)
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
        activation="gelu" if nodes["block0.gelu"].op_type == "Gelu" else "quick_gelu",
        eps=round(attributes_of(nodes["norm"])["epsilon"], 9),
        padding=padding,
    )
    state = {
        "table.weight": rows_VD,
        "positions": held["positions.weight"],
        "norm.weight": held["norm.weight"],
        "norm.bias": held["norm.bias"],
        "projection.weight": held["projection.weight"].T,
    }
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
    if layout != "safetensors" and model.text.shape.padding is not None:
        refuse_padding(model, layout)
    writers = {"hf": write_transformers, "onnx": write_onnx, "safetensors": write_tensors}
    written = writers[layout](model, out)
    parts = [
        f"# {model.manifest['name']} {model.manifest['version']}, as {layout}",
        f"In this folder: {', '.join(written)}.",
    ]
    if layout == "hf":
        parts.append("The image tower is not in this layout: `--format onnx` writes the graph that is served.")
    if layout == "onnx":
        parts.append("`model_int8.onnx` is what servers run: exact for one text a run, without padding.")
    parts += [f"```python\n{OPEN[layout]}\n```", model.weights]
    (out / "README.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return written


def refuse_padding(model: ImportedModel, layout: str) -> None:
    """A tower that sees its padding is none that a mask, or transformers' CLIP, can tell of."""
    raise CannotExpress(
        f"every token of the text tower of {model.manifest['name']} sees the padding, up to {model.text.shape.context_length} tokens, "
        f"which --format {layout} has no words for: --format safetensors has"
    )


def write_tokenizer(folder: Path, model: ImportedModel) -> None:
    """transformers' CLIPTokenizer, which takes a special token's name in a text for text, as servers do."""
    from transformers import CLIPTokenizer

    ids = {piece: number for number, piece in enumerate(model.tokenizer.pieces)}
    tokenizer: Any = CLIPTokenizer(
        vocab=ids,
        merges=list(model.tokenizer.merges),  # pyright: ignore[reportArgumentType] - pairs, as the tokenizer takes them
        split_special_tokens=True,
        model_max_length=model.text.shape.context_length,
        bos_token=START,
        eos_token=END,
    )
    tokenizer.save_pretrained(folder)


@torch.no_grad()
def write_transformers(model: ImportedModel, out: Path) -> list[str]:
    """transformers' CLIPTextModelWithProjection."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    text, shape = model.text, model.text.shape
    config = CLIPTextConfig(
        vocab_size=shape.vocabulary_size,
        hidden_size=shape.width,
        intermediate_size=shape.hidden,
        projection_dim=shape.embed_dim,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.context_length,
        hidden_act=shape.activation,
        layer_norm_eps=shape.eps,
        bos_token_id=model.tokenizer.start,
        eos_token_id=model.tokenizer.end,
        pad_token_id=model.tokenizer.end,
    )
    theirs: Any = CLIPTextModelWithProjection(config)
    inner = theirs.text_model
    inner.embeddings.token_embedding.weight.copy_(text.table.weight)
    inner.embeddings.position_embedding.weight.copy_(text.positions)
    pairs = [(inner.final_layer_norm, text.norm)]
    for layer, block in zip(inner.encoder.layers, text.blocks, strict=True):
        assert isinstance(block, ClipBlock)
        attention = layer.self_attn
        heads = (attention.q_proj, attention.k_proj, attention.v_proj)
        for head, weight, bias in zip(heads, block.qkv.weight.chunk(3), block.qkv.bias.chunk(3), strict=True):
            head.weight.copy_(weight)
            head.bias.copy_(bias)
        pairs += [(attention.out_proj, block.out), (layer.layer_norm1, block.norm_attention)]
        pairs += [(layer.layer_norm2, block.norm_feed_forward), (layer.mlp.fc1, block.up), (layer.mlp.fc2, block.down)]
    for target, source in pairs:
        target.load_state_dict(source.state_dict())
    theirs.text_projection.weight.copy_(text.projection.weight)
    theirs.save_pretrained(out / "student")
    write_tokenizer(out / "student", model)
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
    write_tokenizer(out, model)
    write_image(model.folder, model.manifest, out / "image")
    return ["model.safetensors", "config.json", "tokenizer.json", "image"]
