"""transformers' layouts of CLIP and SigLIP: what `save_pretrained` of the model and of its processor write.

Shapes: B images, S side in pixels, H and W sides of a picture of its own shape, P patches, R and C rows and columns of them, G of a
square of them, D width, K that of a head, E joint dimensions.
"""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from exchange.incoming.checkpoint import Checkpoint, ImageSide, UnitVectors, clip_text
from exchange.incoming.clip_text import Activation, ClipText, ClipTextShape
from exchange.incoming.vocabulary import read_sentencepiece, setting
from exchange.names import Published
from exchange.pictures import own_shape_preprocessing, transformers_preprocessing
from exchange.refusal import CannotExpress
from towers.clip_bpe import END_OF_WORD, ClipBpe
from towers.published_weights import refuse_missing
from towers.sentencepiece_text import SentencePiece

ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "quick_gelu": "quick_gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
}


class ProjectedVision(nn.Module):
    """CLIP's image tower and its projection."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision, self.projection = model.vision_model, model.visual_projection

    def forward(self, pixels_B3SS: torch.Tensor) -> torch.Tensor:
        """[B, E], not normalised."""
        return self.projection(self.vision(pixel_values=pixels_B3SS).pooler_output)


class PooledVision(nn.Module):
    """SigLIP's image tower, whose pooling is in the joint space."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision = model.vision_model

    def forward(self, pixels_B3SS: torch.Tensor) -> torch.Tensor:
        """[B, E], not normalised."""
        return self.vision(pixel_values=pixels_B3SS).pooler_output


class OwnShapeVision(nn.Module):
    """SigLIP 2's image tower of any shape (NaFlex): pixels [B, 3, H, W], whose sides are multiples of its patch."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision, config = model.vision_model, model.config.vision_config
        self.patch, self.grid = config.patch_size, round(config.num_patches**0.5)

    def forward(self, pixels_B3HW: torch.Tensor) -> torch.Tensor:
        """[B, E], not normalised."""
        B, colours, height, width = pixels_B3HW.shape
        patch, rows, columns = self.patch, height // self.patch, width // self.patch
        cut = pixels_B3HW.reshape(B, colours, rows, patch, columns, patch).permute(0, 2, 4, 3, 5, 1)
        x_BPD = self.vision.embeddings.patch_embedding(cut.reshape(B, rows * columns, -1))
        placed_BPD = x_BPD + self.positions(rows, columns)
        encoded = self.vision.encoder(inputs_embeds=placed_BPD).last_hidden_state
        return self.pooled(self.vision.post_layernorm(encoded))

    def pooled(self, x_BPD: torch.Tensor) -> torch.Tensor:
        """[B, D]: what the learned probe reads. PyTorch's own layer would write the number of patches into an ONNX graph."""
        B, P, D = x_BPD.shape
        head = self.vision.head
        inner, heads = head.attention, head.num_heads
        # Both by the whole matrix, so that the graph holds it as the checkpoint does.
        query_11D, _, _ = F.linear(head.probe, inner.in_proj_weight, inner.in_proj_bias).chunk(3, -1)
        _, key_BPD, value_BPD = F.linear(x_BPD, inner.in_proj_weight, inner.in_proj_bias).chunk(3, -1)
        query_H1K = query_11D.reshape(heads, 1, D // heads) * (D // heads) ** -0.5
        key_BHKP = key_BPD.reshape(B, P, heads, D // heads).permute(0, 2, 3, 1)
        value_BHPK = value_BPD.reshape(B, P, heads, D // heads).permute(0, 2, 1, 3)
        weight_BH1P = torch.softmax(torch.matmul(query_H1K, key_BHKP), -1)
        seen_BD = inner.out_proj(torch.matmul(weight_BH1P, value_BHPK).reshape(B, D))
        return seen_BD + head.mlp(head.layernorm(seen_BD))

    def positions(self, rows: int, columns: int) -> torch.Tensor:
        """[rows * columns, D]: the square of position embeddings, brought to the picture's grid."""
        square_GGD = self.vision.embeddings.position_embedding.weight.reshape(self.grid, self.grid, -1)
        down_RG, across_CG = bilinear(rows, self.grid), bilinear(columns, self.grid)
        wide_GCD = torch.matmul(across_CG, square_GGD)
        return torch.matmul(down_RG, wide_GCD.flatten(1)).reshape(rows * columns, -1)


def bilinear(into: int, of: int) -> torch.Tensor:
    """[into, of]: weights of bilinear resizing with antialiasing along one side, as `torch.nn.functional.interpolate` has them.

    Of its definition and not of that function, because no ONNX exporter writes it for a side that is known when the graph runs.
    """
    scale = of / (torch.ones(()) * into)
    centre_I1 = (torch.arange(into)[:, None] + 0.5) * scale
    distance_IO = (torch.arange(of)[None] + 0.5 - centre_I1) / scale.clamp(min=1.0)
    weight_IO = (1 - distance_IO.abs()).relu()
    return weight_IO / weight_IO.sum(1, keepdim=True)


VISIONS: dict[str, type[nn.Module]] = {"clip": ProjectedVision, "siglip": PooledVision, "siglip2": OwnShapeVision}


def read_transformers(folder: Path) -> Checkpoint:
    """A folder that `save_pretrained` of a model and of its processor wrote."""
    kind, model = open_model(folder)
    text = transformers_text(model, folder)
    tokenizer = transformers_tokenizer(folder) if kind == "clip" else siglip_tokenizer(folder)
    return Checkpoint(text=text, tokenizer=tokenizer, **vars(image_side(kind, model, folder)))


def read_transformers_image(folder: Path) -> ImageSide:
    """The image tower alone."""
    return image_side(*open_model(folder), folder)


def open_model(folder: Path) -> tuple[str, Any]:
    """(its type, transformers' model with float32 weights)."""
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind not in VISIONS:
        refuse_language_model(folder, kind)
        raise CannotExpress(
            f"{folder} holds a model of type {kind}: of transformers' layouts {', '.join(VISIONS)} are imported"
        )
    from transformers import AutoModel

    model: Any
    model, info = AutoModel.from_pretrained(folder, attn_implementation="eager", output_loading_info=True)
    refuse_missing(folder, info["missing_keys"])
    return kind, model.eval().float()


def refuse_language_model(folder: Path, kind: str) -> None:
    """A language model has no image tower; what it can be here is a teacher."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise CannotExpress(
            f"{folder} holds a language model ({kind}), which has no image tower to import. As the text teacher of a recipe it is "
            "named in embed_captions.teachers: docs/adding/language-model.md says how"
        )


def image_side(kind: str, model: Any, folder: Path) -> ImageSide:
    """The image tower, how pictures are prepared for it, and what cosines become."""
    return ImageSide(
        image=UnitVectors(VISIONS[kind](model)).eval(),
        preprocess=(
            own_shape_preprocessing(folder, model.config.vision_config.patch_size)
            if kind == "siglip2"
            else transformers_preprocessing(folder)
        ),
        logit_scale=float(model.logit_scale.detach().exp()),
        logit_bias=None if kind == "clip" else float(model.logit_bias.detach()),
        published=Published("transformers", model.config.to_dict(), image_tensors(model)),
    )


def image_tensors(model: Any) -> dict[str, torch.Tensor]:
    """The image tower's and its projection's, by their names in the model."""
    parts = ("vision_model.", "visual_projection.")
    return {name: tensor for name, tensor in model.state_dict().items() if name.startswith(parts)}


def transformers_text(model: Any, folder: Path) -> ClipText:
    """The text tower of CLIP or SigLIP."""
    text, config = model.text_model, model.config.text_config
    is_siglip = hasattr(text, "head")
    if config.hidden_act not in ACTIVATIONS:
        raise CannotExpress(f"the text tower computes {config.hidden_act}; {', '.join(ACTIVATIONS)} are served")
    projection = text.head if is_siglip else model.text_projection
    shape = ClipTextShape(
        vocabulary_size=config.vocab_size,
        context_length=config.max_position_embeddings,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        layers=config.num_hidden_layers,
        hidden=config.intermediate_size,
        embed_dim=len(projection.weight),
        activation=ACTIVATIONS[config.hidden_act],
        eps=config.layer_norm_eps,
        padding=siglip_tokenizer(folder).pad if is_siglip else None,
        pooling="context" if is_siglip else "end",
        projection_bias=is_siglip,
    )
    parts = [layer_parts(layer) for layer in text.encoder.layers]
    rows, positions = text.embeddings.token_embedding.weight, text.embeddings.position_embedding.weight
    return clip_text(shape, rows, positions, parts, (text.final_layer_norm, projection.weight.T, projection.bias))


def layer_parts(layer: Any) -> dict[str, Any]:
    """One layer in the words of `ClipBlock`."""
    attention = layer.self_attn
    heads = (attention.q_proj, attention.k_proj, attention.v_proj)
    return {
        "norm_attention": layer.layer_norm1,
        "qkv": (torch.cat([each.weight for each in heads]), torch.cat([each.bias for each in heads])),
        "out": attention.out_proj,
        "norm_feed_forward": layer.layer_norm2,
        "up": layer.mlp.fc1,
        "down": layer.mlp.fc2,
    }


def siglip_tokenizer(folder: Path) -> SentencePiece:
    """SigLIP's lowers texts and takes punctuation away, SigLIP 2's only lowers them."""
    own = setting(folder, "tokenizer_class")
    cleaning: Literal["lower", "canonical"] = "canonical" if str(own).startswith("SiglipTokenizer") else "lower"
    if setting(folder, "padding_side") == "left":
        raise CannotExpress(
            f"the tokenizer in {folder} fills texts up on the left; SigLIP's towers learned with the right side"
        )
    return read_sentencepiece(folder, cleaning)


def transformers_tokenizer(folder: Path) -> ClipBpe:
    """From `vocab.json` and `merges.txt`, or from `tokenizer.json`."""
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        ids: dict[str, int] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
        pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    elif (folder / "tokenizer.json").is_file():
        model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        if model.get("type") != "BPE" or model.get("end_of_word_suffix") != "</w>":
            raise CannotExpress(f"{folder / 'tokenizer.json'} is no byte-pair encoding like CLIP's")
        ids, pairs = model["vocab"], [pair if isinstance(pair, list) else pair.split(" ") for pair in model["merges"]]
    else:
        raise CannotExpress(
            f"{folder} has no vocab.json with merges.txt, and no tokenizer.json: texts cannot be read without"
        )
    pieces = sorted(ids, key=lambda piece: ids[piece])
    if [ids[piece] for piece in pieces] != list(range(len(pieces))):
        raise CannotExpress(f"the ids of the vocabulary in {folder} have gaps")
    merges = [(left, right) for left, right in pairs]
    # A download that was cut short reads as fewer merges, by which all texts would be cut otherwise.
    made = {left + right for left, right in merges}
    longer = [piece for piece in pieces if len(piece.removesuffix(END_OF_WORD)) > 1 and not piece.startswith("<|")]
    lost = [piece for piece in longer if piece not in made]
    if lost:
        raise CannotExpress(
            f"no merge in {folder} makes {len(lost)} pieces of its vocabulary, {lost[0]} for instance: merges.txt is cut short, or "
            "belongs to another vocabulary; fetch both again"
        )
    return ClipBpe(pieces, merges)
