"""SigLIP's public layouts with tiny random weights, by the libraries' own writers, and vocabularies trained for the test."""

import json
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

import sentencepiece_tokens

CONTEXT, SIDE = 16, 64
TEXT: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": CONTEXT,
}  # fmt: skip
VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 16,
}  # fmt: skip
OPEN_CLIP: dict[str, Any] = {
    "embed_dim": 96,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 160, "timm_model_name": "test_vit3", "timm_model_pretrained": False, "timm_pool": "map", "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": CONTEXT, "vocab_size": 0, "hf_tokenizer_name": "timm/ViT-B-16-SigLIP2", "tokenizer_kwargs": {"clean": "canonicalize"},
        "width": 32, "heads": 4, "layers": 2, "no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6},
        "act_kwargs": {"approximate": "tanh"},
    },
}  # fmt: skip


def shake(model: Any) -> Any:
    """Move what starts at nought, and give scores a scale and a bias like the published ones."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        model.logit_scale.fill_(4.7)
        model.logit_bias.fill_(-16.5)
    return model.eval()


def write_siglip(folder: Path) -> Any:
    """SigLIP of transformers: `spiece.model`, unigram. Returns transformers' model and tokenizer."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trained.model").write_bytes(sentencepiece_tokens.train(**sentencepiece_tokens.MODELS["unigram"]))
    tokenizer: Any = SiglipTokenizer(str(folder / "trained.model"), model_max_length=CONTEXT, unk_token="<unk>")
    text = TEXT | {"vocab_size": tokenizer.vocab_size}
    model = shake(SiglipModel(SiglipConfig(text_config=text, vision_config=VISION | {"image_size": SIDE})))
    (folder / "trained.model").unlink() if tokenizer.save_pretrained(folder) else None
    model.save_pretrained(folder)
    SiglipImageProcessor(size={"height": SIDE, "width": SIDE}, resample=3).save_pretrained(folder)
    return model, tokenizer


def write_gemma_tokenizer(folder: Path) -> Any:
    """SigLIP 2's tokenizer, `tokenizer.json` alone: byte pairs as `tokenizers` writes them, of a model that SentencePiece trained."""
    import sentencepiece
    from transformers import Siglip2Tokenizer

    settings = sentencepiece_tokens.MODELS["bpe"] | {"user_defined_symbols": []}
    special = {
        "pad_id": 0,
        "eos_id": 1,
        "bos_id": 2,
        "unk_id": 3,
        "pad_piece": "<pad>",
        "eos_piece": "<eos>",
        "bos_piece": "<bos>",
    }
    library = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_tokens.train(**settings, **special))
    ids = {library.id_to_piece(number): number for number in range(library.get_piece_size())}
    pairs = [
        (library.get_score(ids[piece]), piece[:at], piece[at:])
        for piece in ids
        for at in range(1, len(piece))
        if piece[:at] in ids and piece[at:] in ids and not piece.startswith("<")
    ]
    merges: Any = [(left, right) for _, left, right in sorted(pairs, key=lambda pair: -pair[0])]
    tokenizer: Any = Siglip2Tokenizer(
        vocab=ids | {"<mask>": len(ids)},
        merges=merges,
        padding_side="right",
        model_max_length=CONTEXT,
        add_eos_token=True,
    )
    from tokenizers.processors import TemplateProcessing

    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer.save_pretrained(folder)
    return tokenizer


def write_siglip2(folder: Path) -> Any:
    """SigLIP 2 of any picture size (NaFlex) of transformers. Returns transformers' model and tokenizer."""
    from transformers import Siglip2Config, Siglip2ImageProcessor, Siglip2Model

    tokenizer = write_gemma_tokenizer(folder)
    text = TEXT | {"vocab_size": len(tokenizer), "hidden_act": "gelu_pytorch_tanh"}
    model = shake(Siglip2Model(Siglip2Config(text_config=text, vision_config=VISION | {"num_patches": 16})))
    model.save_pretrained(folder)
    Siglip2ImageProcessor(patch_size=16, max_num_patches=16).save_pretrained(folder)
    return model, tokenizer


def write_open_clip_siglip(folder: Path) -> Any:
    """SigLIP 2 of open_clip: timm's tower with attention pooling. Returns open_clip's model and tokenizer."""
    import open_clip
    from safetensors.torch import save_file

    size = len(write_gemma_tokenizer(folder))
    pictures = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    config = {
        "model_cfg": OPEN_CLIP | {"text_cfg": OPEN_CLIP["text_cfg"] | {"vocab_size": size}},
        "preprocess_cfg": pictures,
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    name = f"local-dir:{folder}"
    model = shake(open_clip.create_model(name, load_weights=False))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return model, open_clip.get_tokenizer(name)


@torch.no_grad()
def siglip_text_vectors(model: Any, tokenizer: Any, texts: list[str]) -> torch.Tensor:
    """Unit vectors of transformers' model and tokenizer, filled up as SigLIP was trained."""
    inputs = tokenizer(texts, padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt")
    return F.normalize(model.get_text_features(input_ids=inputs["input_ids"]).pooler_output, dim=-1)


@torch.no_grad()
def image_features(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """transformers' image vectors [B, E] of pictures [B, 3, H, W]; the towers of any shape get them as grids of patches."""
    if model.config.model_type == "siglip":
        return model.get_image_features(pixel_values=pixels).pooler_output
    count, patch = len(pixels), 16
    rows, columns = (side // patch for side in pixels.shape[2:])
    cut = pixels.reshape(count, 3, rows, patch, columns, patch).permute(0, 2, 4, 3, 5, 1)
    cut = cut.reshape(count, rows * columns, -1)
    shapes = torch.tensor([[rows, columns]] * count)
    found = model.get_image_features(cut, pixel_attention_mask=torch.ones(cut.shape[:2]), spatial_shapes=shapes)
    return found.pooler_output
