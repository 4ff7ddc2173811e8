"""open_clip's layout: a folder with `open_clip_config.json`, or a file of weights with the name of its architecture.

Shapes: D width, E joint dimensions.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from exchange.incoming.checkpoint import Checkpoint, ImageSide, UnitVectors, clip_text
from exchange.incoming.clip_text import Activation, ClipText, ClipTextShape
from exchange.incoming.vocabulary import read_sentencepiece
from exchange.names import Published
from exchange.refusal import CannotExpress
from towers.clip_bpe import END, START, ClipBpe
from towers.image.checkpoint import ClipBackbone, configuration_of, read_model
from towers.sentencepiece_text import SentencePiece


def read_open_clip(name: str, folder: Path | None = None) -> Checkpoint:
    """By its `open_clip:` name; `folder` is what it names, which has the vocabulary of SigLIP's towers."""
    model = read_model(name).float()
    text = model.text if hasattr(model, "text") else model
    config = configuration_of(name)
    settings = {} if folder is None else config["text_cfg"]
    tokenizer = siglip_tokenizer(folder, settings) if "hf_tokenizer_name" in settings else open_clip_tokenizer(text)
    padding = tokenizer.pad if isinstance(tokenizer, SentencePiece) else getattr(text, "pad_id", 0)
    return Checkpoint(text=open_clip_text(text, name, padding), tokenizer=tokenizer, **open_clip_image(model, config))


def read_open_clip_image(name: str) -> ImageSide:
    """The image tower alone, whatever the text tower is."""
    return ImageSide(**open_clip_image(read_model(name).float(), configuration_of(name)))


def siglip_tokenizer(folder: Path | None, settings: dict[str, Any]) -> SentencePiece:
    """SentencePiece's vocabulary of a folder."""
    cleaning = settings.get("tokenizer_kwargs", {}).get("clean", "whitespace")
    if cleaning != "canonicalize":
        raise CannotExpress(
            f"the tokenizer cleans texts by {cleaning}; of open_clip's ways canonicalize (SigLIP's) is served"
        )
    assert folder is not None
    return read_sentencepiece(folder, "canonical_spaced")


def open_clip_image(model: Any, config: dict[str, Any]) -> dict[str, Any]:
    """The image tower with what belongs to it. `config` is what open_clip builds the model from."""
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("visual.")}
    backbone = ClipBackbone(model)
    scale, bias = backbone.logit_scale, backbone.logit_bias
    assert scale is not None
    return {
        "image": UnitVectors(backbone).eval(),
        "preprocess": backbone.preprocess_recipe(backbone.native_size),
        "logit_scale": float(torch.tensor(scale).exp()),
        "logit_bias": bias,
        "published": Published("open_clip", config, tensors),
    }


def open_clip_text(text: Any, name: str, padding: int) -> ClipText:
    """open_clip's TextTransformer, or the same weights of its CLIP class."""
    blocks = getattr(getattr(text, "transformer", None), "resblocks", None)
    pool = getattr(text, "pool_type", getattr(text, "text_pool_type", None))
    if blocks is None or pool not in ("argmax", "last") or getattr(text, "cls_emb", None) is not None:
        raise CannotExpress(
            f"the text tower of {name} is {type(text).__name__}, neither CLIP's nor SigLIP's: it cannot be served. What can be is a "
            "tower that reads the token at the end of a text, or the last place of its context"
        )
    first = blocks[0]
    if type(first.ls_1) is not nn.Identity or not hasattr(first.attn, "in_proj_weight"):
        raise CannotExpress(
            f"the layers of the text tower of {name} are {type(first).__name__} with more than CLIP's have"
        )
    projection_DE, bias_E = projection_of(text)
    is_causal = getattr(text, "attn_mask", None) is not None
    if is_causal and pool == "last":
        raise CannotExpress(
            f"the text tower of {name} is causal and reads the last place of its context, as none that is published"
        )
    shape = ClipTextShape(
        vocabulary_size=text.token_embedding.num_embeddings,
        context_length=len(text.positional_embedding),
        width=text.token_embedding.embedding_dim,
        heads=first.attn.num_heads,
        layers=len(blocks),
        hidden=first.mlp.c_fc.out_features,
        embed_dim=projection_DE.shape[1],
        activation=activation_of(first.mlp.gelu),
        eps=first.ln_1.eps,
        padding=None if is_causal else padding,
        pooling="end" if pool == "argmax" else "context",
        projection_bias=bias_E is not None,
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
        shape, text.token_embedding.weight, text.positional_embedding, parts, (text.ln_final, projection_DE, bias_E)
    )


def activation_of(layer: nn.Module) -> Activation:
    """What stands between the two matrices of a layer."""
    if type(layer).__name__ == "QuickGELU":
        return "quick_gelu"
    return "gelu_tanh" if getattr(layer, "approximate", "none") == "tanh" else "gelu"


def projection_of(text: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The projection [D, E], which open_clip keeps as a matrix or as a layer, and its bias [E]; absent: the identity."""
    projection = getattr(text, "text_projection", None)
    if projection is None:
        return torch.eye(text.token_embedding.embedding_dim), None
    if isinstance(projection, nn.Linear):
        return projection.weight.T, projection.bias
    return projection, None


def open_clip_tokenizer(text: Any) -> ClipBpe:
    """CLIP's vocabulary, which open_clip carries, under open_clip's names of the special tokens."""
    from open_clip.tokenizer import SimpleTokenizer

    known = SimpleTokenizer()
    pieces = [known.decoder[number] for number in range(len(known.decoder))]
    pieces[-2:] = [START, END]
    if text.token_embedding.num_embeddings != len(pieces):
        raise CannotExpress(
            f"the text tower has {text.token_embedding.num_embeddings} token rows, CLIP's vocabulary {len(pieces)}: it has another "
            "tokenizer. SigLIP's is SentencePiece, whose vocabulary comes in a folder with open_clip_config.json: import that"
        )
    ranks: dict[Any, int] = known.bpe_ranks
    return ClipBpe(pieces, [(left, right) for left, right in sorted(ranks, key=lambda pair: ranks[pair])])
