"""The student as transformers' BertModel, which it is: post-norm layers, exact GELU, mean of the last states outside.

Shapes: V pieces, D width, P positions.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import BertConfig

from exchange.outgoing.tokenizer_files import write_json
from exchange.refusal import CannotExpress
from towers.student.model import EPS, Block, TextStudent
from towers.wordpiece import PAD

TYPES = 2  # rows of token types, of which a single text uses the first; the position rows carry it already


def write_bert(folder: Path, student: TextStudent, tier: str) -> None:
    """config.json and model.safetensors of a BertModel whose last hidden states are the student's."""
    refuse_sums(student, tier, "a BertModel")
    shape = student.shape
    config = BertConfig(
        vocab_size=shape.vocabulary_size,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.width,
        hidden_act="gelu",
        max_position_embeddings=shape.context_length,
        type_vocab_size=TYPES,
        layer_norm_eps=EPS,
        pad_token_id=PAD,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        architectures=["BertModel"],
        dtype="float32",
    )
    write_json(folder / "config.json", config.to_dict())
    save_file(bert_weights(student), folder / "model.safetensors", metadata={"format": "pt"})


def refuse_sums(student: TextStudent, tier: str, what: str) -> None:
    """A student whose vectors are sums with the static tier's is none of these architectures."""
    if student.shape.static_weight:
        raise CannotExpress(
            f"the {tier} tier adds the static tier's vector to the transformer's ({student.shape.static_weight:g} times), which "
            f"{what} cannot: --format onnx and --format safetensors can, and --tier chooses the tiers that are written"
        )


@torch.no_grad()
def bert_weights(student: TextStudent) -> dict[str, torch.Tensor]:
    """State dict of the BertModel. Narrow token rows are widened, which changes no value that a layer sees."""
    width = student.shape.width
    widen = student.widen
    table_VD = widen(student.table.weight) if isinstance(widen, torch.nn.Linear) else student.table.weight
    state = {
        "embeddings.word_embeddings.weight": table_VD,
        "embeddings.position_embeddings.weight": student.positions.weight,
        "embeddings.token_type_embeddings.weight": torch.zeros(TYPES, width),
        # BertModel has a head over the first token, which nothing here reads: without it the library would draw one.
        "pooler.dense.weight": torch.zeros(width, width),
        "pooler.dense.bias": torch.zeros(width),
    }
    modules: dict[str, torch.nn.Module] = {"embeddings.LayerNorm": student.norm}
    for number, block in enumerate(student.blocks):
        assert isinstance(block, Block)
        layer = f"encoder.layer.{number}"
        parts = ("query", "key", "value")
        for part, weight, bias in zip(parts, block.qkv.weight.chunk(3), block.qkv.bias.chunk(3), strict=True):
            state |= {f"{layer}.attention.self.{part}.weight": weight, f"{layer}.attention.self.{part}.bias": bias}
        modules |= {
            f"{layer}.attention.output.dense": block.out,
            f"{layer}.attention.output.LayerNorm": block.norm_attention,
            f"{layer}.intermediate.dense": block.up,
            f"{layer}.output.dense": block.down,
            f"{layer}.output.LayerNorm": block.norm_feed_forward,
        }
    for name, module in modules.items():
        state |= {f"{name}.{part}": value for part, value in module.state_dict().items()}
    return {name: value.detach().float().clone().contiguous() for name, value in state.items()}
