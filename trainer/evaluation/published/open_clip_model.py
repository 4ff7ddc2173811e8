"""Any model of open_clip: by a name and a tag, a name and a file, or a folder in its layout. Tokenizer and pictures are open_clip's.

Shapes: N texts, B images, S pixels a side, E dimensions.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from evaluation.bench import TextTier
from towers.image.checkpoint import PREFIX, read_model


class OpenClipModel:
    """One tier, `text`. `name` begins with `open_clip:`."""

    def __init__(self, name: str, device: torch.device) -> None:
        import open_clip
        from open_clip.transform import PreprocessCfg, image_transform_v2

        own = name.removeprefix(PREFIX)
        self.title = Path(own.partition(":")[2]).name if own.startswith("local-dir:") else own
        self.model, self.device = read_model(name).float().to(device), device
        settings = PreprocessCfg(**self.model.visual.preprocess_cfg)
        self.transform: Any = image_transform_v2(settings, is_train=False)
        weights = self.model.state_dict()
        visual = {key: value for key, value in weights.items() if key.startswith("visual.")}
        self.space = f"{digest_of_weights(visual)} {json.dumps(self.model.visual.preprocess_cfg, sort_keys=True)}"
        with torch.inference_mode():
            pixels_1CSS = torch.zeros(1, 3, *self._size(settings), device=device)
            self.dims = [self.model.encode_image(pixels_1CSS).shape[-1]]
        self.int8_scale = 127.0
        tokenizer = open_clip.get_tokenizer(own.partition("@")[0])
        self.tiers: Mapping[str, TextTier] = {"text": OpenClipTexts(self, tokenizer, digest_of_weights(weights))}

    @staticmethod
    def _size(settings) -> tuple[int, int]:
        size = settings.size
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    def pixels(self, image: bytes | Image.Image) -> np.ndarray:
        """float32 [3, S, S]."""
        opened = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else image
        return self.transform(opened).numpy()

    @torch.inference_mode()
    def embed_pixels(self, pixels_B3SS: np.ndarray) -> np.ndarray:
        """Unit vectors [B, E]."""
        pixels = torch.from_numpy(pixels_B3SS).to(self.device)
        return self.model.encode_image(pixels, normalize=True).float().cpu().numpy()


class OpenClipTexts:
    """The text tower with the tokenizer of its name, which cuts what is longer than the context."""

    def __init__(self, of: OpenClipModel, tokenizer, digest: str) -> None:
        self.of, self.tokenizer, self.key = of, tokenizer, f"open_clip {digest}"

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors [N, E]."""
        ids_NT = self.tokenizer(list(texts)).to(self.of.device)
        return self.of.model.encode_text(ids_NT, normalize=True).float().cpu().numpy()


def digest_of_weights(weights: Mapping[str, torch.Tensor]) -> str:
    """Of all values with their names: the same weights have it, whatever file they came from."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
