"""Small models with random weights in public layouts, and drawn pictures: what measurements and checks run on."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from safetensors.torch import save_file
from tokenizers import ByteLevelBPETokenizer

import towers  # noqa: F401 - makes torchvision, which transformers and timm import, importable beside a CPU build of torch

COLOURS = ["red", "green", "blue", "yellow", "black", "white"]
SHAPES = ["circle", "square", "line"]


def byte_level_tokenizer(texts: Iterable[str], pieces: int) -> Any:
    """transformers' tokenizer with the first `pieces` pieces of some texts; one special piece ends, pads and stands for unknown."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(texts, vocab_size=pieces, special_tokens=["<end>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer, eos_token="<end>", pad_token="<end>", unk_token="<end>"
    )


def random_llama(tokenizer: Any, **shape: Any) -> Any:
    """A causal language model of transformers; `shape`: fields of LlamaConfig. The caller seeds torch."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape))


def proportioned_llama(tokenizer: Any, *, layers: int, width: int, heads: int, key_heads: int) -> Any:
    """A `random_llama` whose feed-forward layers are 8/3 as wide as it is, in multiples of 16, as Llama's are."""
    return random_llama(
        tokenizer,
        hidden_size=width,
        intermediate_size=8 * width // 3 // 16 * 16,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
    )


def write_llama(folder: Path, tokenizer: Any, **shape: Any) -> None:
    """A `random_llama` with its tokenizer, in the Hugging Face folder layout."""
    folder.mkdir(parents=True, exist_ok=True)
    random_llama(tokenizer, **shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_clip(folder: Path, tokenizer: Any) -> None:
    """A random CLIP with towers of two layers and a joint space of 24 dimensions, in transformers' layout of a folder.

    The caller seeds torch.
    """
    from transformers import CLIPConfig, CLIPModel

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    end = tokenizer.eos_token_id
    ids = {"vocab_size": len(tokenizer), "eos_token_id": end, "bos_token_id": end, "pad_token_id": end}
    text, vision = shape | ids | {"max_position_embeddings": 32}, shape | {"image_size": 32, "patch_size": 16}
    folder.mkdir(parents=True, exist_ok=True)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_efficientnet(folder: Path) -> None:
    """A random EfficientNet of five blocks and 1,000 classes, in timm's layout of a folder. The caller seeds torch."""
    import timm
    from timm.models._hub import save_config_for_hf

    model = timm.create_model("test_efficientnet")
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    save_config_for_hf(model, str(folder / "config.json"))


def drawing(number: int, size: tuple[int, int]) -> tuple[Image.Image, str, str]:
    """A picture, and the colour and the shape that are drawn on it; neighbouring numbers have other ones."""
    colour, shape = COLOURS[number % 6], SHAPES[number // 6 % 3]
    image = Image.new("RGB", size, ((number * 37) % 200 + 20, (number * 91) % 200, 120))
    draw = ImageDraw.Draw(image)
    box = (5 + number % 7, 5, 25 + number % 11, 30)
    {"circle": draw.ellipse, "square": draw.rectangle, "line": draw.line}[shape](box, fill=colour)
    return image, colour, shape
