"""transformers' public layout of CLIP with tiny random weights, by its own `save_pretrained`, and CLIP's published vocabulary."""

import gzip
import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
SIDE, SPACE = 64, 24


def clip_files() -> tuple[dict[str, int], list[str]]:
    """CLIP's vocabulary and merges, from the file that open_clip carries."""
    with gzip.open(
        Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz", "rt", encoding="utf-8", newline=""
    ) as file:
        merges = file.read().split("\n")[1 : 49152 - 256 - 2 + 1]
    symbols = list(open_clip.tokenizer.bytes_to_unicode().values())
    pieces = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *(line.replace(" ", "") for line in merges)]
    return {piece: number for number, piece in enumerate([*pieces, START, END])}, merges


def clip_tokenizer(**options: Any) -> Any:
    """transformers' own, with the published vocabulary."""
    ids, merges = clip_files()
    pairs: Any = [tuple(line.split(" ")) for line in merges]
    return CLIPTokenizer(vocab=ids, merges=pairs, **options)


def write_clip(folder: Path) -> Any:
    """A CLIP with three text layers of width 32; returns transformers' model of it."""
    torch.manual_seed(0)
    text = {
        "vocab_size": 49408, "hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
        "eos_token_id": 49407, "bos_token_id": 49406, "pad_token_id": 49407,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE,
        "patch_size": 16,
    }  # fmt: skip
    model: Any = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=SPACE)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "logit_scale":
                parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    ids, merges = clip_files()
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    side = {"height": SIDE, "width": SIDE}
    processor: Any = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=side)
    processor.save_pretrained(folder)
    return model


@torch.no_grad()
def text_vectors(model: Any, texts: list[str]) -> torch.Tensor:
    """Unit vectors of transformers' model and tokenizer."""
    inputs = clip_tokenizer()(texts, padding=True, truncation=True, max_length=77, return_tensors="pt")
    pooled = model.text_model(**inputs).pooler_output
    return torch.nn.functional.normalize(model.text_projection(pooled), dim=-1)


@torch.no_grad()
def image_vectors(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Unit vectors of transformers' model."""
    pooled = model.vision_model(pixel_values=pixels).pooler_output
    return torch.nn.functional.normalize(model.visual_projection(pooled), dim=-1)
