"""open_clip's layout: a folder with `open_clip_config.json`, or a file of weights with the name of its architecture.

Shapes: D width, E joint dimensions.
"""

from typing import Any

import torch
from torch import nn

from exchange.incoming.checkpoint import Checkpoint, UnitVectors, clip_text
from exchange.incoming.clip_text import ClipText, ClipTextShape
from exchange.refusal import CannotExpress
from towers.clip_bpe import END, START, ClipBpe
from towers.image.checkpoint import ClipBackbone, read_model


def read_open_clip(name: str) -> Checkpoint:
    """By its `open_clip:` name."""
    model = read_model(name).float()
    text = model.text if hasattr(model, "text") else model
    return Checkpoint(
        text=open_clip_text(text, name),
        tokenizer=open_clip_tokenizer(text),
        **open_clip_image(model),
    )


def open_clip_image(model: Any) -> dict[str, Any]:
    """The image tower with what belongs to it."""
    backbone = ClipBackbone(model)
    scale, bias = backbone.logit_scale, backbone.logit_bias
    assert scale is not None
    return {
        "image": UnitVectors(backbone).eval(),
        "preprocess": backbone.preprocess_recipe(backbone.native_size),
        "logit_scale": float(torch.tensor(scale).exp()),
        "logit_bias": bias,
    }


def open_clip_text(text: Any, name: str) -> ClipText:
    """open_clip's TextTransformer, or the same weights of its CLIP class."""
    blocks = getattr(getattr(text, "transformer", None), "resblocks", None)
    pool = getattr(text, "pool_type", getattr(text, "text_pool_type", None))
    if blocks is None or pool != "argmax" or getattr(text, "cls_emb", None) is not None:
        raise CannotExpress(
            f"the text tower of {name} is {type(text).__name__}, not CLIP's: it cannot be served. What can be is a tower with "
            "CLIP's byte-pair vocabulary that reads the last token"
        )
    first = blocks[0]
    if type(first.ls_1) is not nn.Identity or not hasattr(first.attn, "in_proj_weight"):
        raise CannotExpress(
            f"the layers of the text tower of {name} are {type(first).__name__} with more than CLIP's have"
        )
    projection_DE = projection_of(text)
    is_causal = getattr(text, "attn_mask", None) is not None
    activation = "quick_gelu" if type(first.mlp.gelu).__name__ == "QuickGELU" else "gelu"
    shape = ClipTextShape(
        vocabulary_size=text.token_embedding.num_embeddings,
        context_length=len(text.positional_embedding),
        width=text.token_embedding.embedding_dim,
        heads=first.attn.num_heads,
        layers=len(blocks),
        hidden=first.mlp.c_fc.out_features,
        embed_dim=projection_DE.shape[1],
        activation=activation,
        eps=first.ln_1.eps,
        padding=None if is_causal else getattr(text, "pad_id", 0),
    )
    parts = [
        {
            "norm_attention": block.ln_1,
            "qkv": (block.attn.in_proj_weight, block.attn.in_proj_bias),
            "out": block.attn.out_proj,
            "norm_feed_forward": block.ln_2,
            "up": block.mlp.c_fc,
            "down": block.mlp.c_proj,
        }
        for block in blocks
    ]
    return clip_text(
        shape, text.token_embedding.weight, text.positional_embedding, parts, (text.ln_final, projection_DE)
    )


def projection_of(text: Any) -> torch.Tensor:
    """The projection [D, E], which open_clip keeps as a matrix or as a layer; absent: the identity."""
    projection = getattr(text, "text_projection", None)
    if projection is None:
        return torch.eye(text.token_embedding.embedding_dim)
    if isinstance(projection, nn.Linear):
        if projection.bias is not None:
            raise CannotExpress("this text tower's projection has a bias, which CLIP's has not")
        return projection.weight.T
    return projection


def open_clip_tokenizer(text: Any) -> ClipBpe:
    """CLIP's vocabulary, which open_clip carries, under open_clip's names of the special tokens."""
    from open_clip.tokenizer import SimpleTokenizer

    known = SimpleTokenizer()
    pieces = [known.decoder[number] for number in range(len(known.decoder))]
    pieces[-2:] = [START, END]
    if text.token_embedding.num_embeddings != len(pieces):
        raise CannotExpress(
            f"the text tower has {text.token_embedding.num_embeddings} token rows, CLIP's vocabulary {len(pieces)}: it has another "
            "tokenizer (SigLIP's is SentencePiece), which is not served. Its image tower is a backbone of recipes (docs/towers.md)"
        )
    ranks: dict[Any, int] = known.bpe_ranks
    return ClipBpe(pieces, [(left, right) for left, right in sorted(ranks, key=lambda pair: ranks[pair])])
