"""Text towers of imported models as classes of transformers, with their tokenizers."""

from pathlib import Path
from typing import Any, Protocol

import torch

from exchange.incoming.clip_text import ClipBlock, ClipText, ClipTextShape
from exchange.outgoing.imports.tokenizers import clip_tokenizer, write_siglip_tokenizer
from towers.clip_bpe import ClipBpe
from towers.sentencepiece_text import SentencePiece


class TextTower(Protocol):
    """What is written of a model."""

    @property
    def name(self) -> str:
        """Of the model."""
        ...

    @property
    def text(self) -> ClipText:
        """With float weights."""
        ...

    @property
    def tokenizer(self) -> ClipBpe | SentencePiece:
        """Of the text tower."""
        ...


def write_tokenizer(folder: Path, tower: TextTower) -> list[str]:
    """transformers' tokenizer, or SentencePiece's file where it has none that reads texts as servers do."""
    if isinstance(tower.tokenizer, SentencePiece):
        tower.tokenizer.write(folder)
        return ["sentencepiece.model"]
    clip_tokenizer(tower.tokenizer, tower.text.shape.context_length).save_pretrained(folder)
    return ["tokenizer.json"]


@torch.no_grad()
def write_clip(tower: TextTower, folder: Path) -> None:
    """transformers' CLIPTextModelWithProjection."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    assert isinstance(tower.tokenizer, ClipBpe)
    config = CLIPTextConfig(
        **sizes_of(tower.text.shape),
        projection_dim=tower.text.shape.embed_dim,
        hidden_act=tower.text.shape.activation,
        bos_token_id=tower.tokenizer.start,
        eos_token_id=tower.tokenizer.end,
        pad_token_id=tower.tokenizer.end,
    )
    theirs: Any = CLIPTextModelWithProjection(config)
    fill(theirs.text_model, tower.text)
    theirs.text_projection.weight.copy_(tower.text.projection.weight)
    theirs.save_pretrained(folder)
    write_tokenizer(folder, tower)


@torch.no_grad()
def write_siglip(tower: TextTower, folder: Path) -> None:
    """transformers' SiglipTextModel with its tokenizer."""
    from transformers import SiglipTextConfig, SiglipTextModel

    shape, tokenizer = tower.text.shape, tower.tokenizer
    assert isinstance(tokenizer, SentencePiece)
    write_siglip_tokenizer(folder, tokenizer, shape.context_length, tower.name)
    acts = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "quick_gelu": "quick_gelu"}
    config = SiglipTextConfig(
        **sizes_of(shape),
        projection_size=shape.embed_dim,
        hidden_act=acts[shape.activation],
        bos_token_id=tokenizer.end,
        eos_token_id=tokenizer.end,
        pad_token_id=tokenizer.pad,
    )
    theirs: Any = SiglipTextModel(config)
    inner = getattr(theirs, "text_model", theirs)
    fill(inner, tower.text)
    inner.head.load_state_dict(tower.text.projection.state_dict())
    theirs.save_pretrained(folder)


def sizes_of(shape: ClipTextShape) -> dict[str, Any]:
    """In the words that transformers' configurations of text towers share."""
    return {
        "vocab_size": shape.vocabulary_size,
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "max_position_embeddings": shape.context_length,
        "layer_norm_eps": shape.eps,
    }


@torch.no_grad()
def fill(inner: Any, text: ClipText) -> None:
    """Copy everything but the projection into transformers' text tower."""
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
