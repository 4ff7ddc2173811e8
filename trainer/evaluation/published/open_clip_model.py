"""Any model of open_clip: by a name and a tag, a name and a file, or a folder in its layout. Tokenizer and pictures are open_clip's.

Shapes: N texts, B images, S pixels a side, E dimensions.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from evaluation.bench import TextTier
from evaluation.published.identity import digest_of_weights, digests_of_settings, identity
from towers.image.checkpoint import LOCAL, PREFIX, configuration_of, read_model
from towers.preprocess import damage_told
from towers.quantisation import WITHOUT_MANIFEST


class OpenClipModel:
    """One tier, `text`. `name` begins with `open_clip:`."""

    def __init__(self, name: str, device: torch.device) -> None:
        import open_clip
        from open_clip.transform import PreprocessCfg, image_transform_v2

        own = name.removeprefix(PREFIX)
        folder = Path(name.removeprefix(LOCAL)) if name.startswith(LOCAL) else None
        self.title = own if folder is None else folder.name
        self.model, self.device = read_model(name).float().to(device), device
        settings = PreprocessCfg(**self.model.visual.preprocess_cfg)
        self.transform: Any = image_transform_v2(settings, is_train=False)
        weights, config = self.model.state_dict(), configuration_of(name)
        visual = {key: value for key, value in weights.items() if key.startswith("visual.")}
        self.space = identity("open_clip", digest_of_weights(visual), config, self.model.visual.preprocess_cfg)
        with torch.inference_mode():
            pixels_1CSS = torch.zeros(1, 3, *self._size(settings), device=device)
            self.dims = [self.model.encode_image(pixels_1CSS).shape[-1]]
        self.quantisation = WITHOUT_MANIFEST
        tokenizer = open_clip.get_tokenizer(own.partition("@")[0])
        beside = {} if folder is None else digests_of_settings(folder)
        key = identity("open_clip", digest_of_weights(weights), config, beside)
        self.tiers: Mapping[str, TextTier] = {"text": OpenClipTexts(self, tokenizer, key)}

    @staticmethod
    def _size(settings) -> tuple[int, int]:
        size = settings.size
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    def pixels(self, image: bytes | Image.Image) -> np.ndarray:
        """float32 [3, S, S]."""
        with damage_told():
            opened = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else image
            opened.load()
        return self.transform(opened).numpy()

    @torch.inference_mode()
    def embed_pixels(self, pixels_B3SS: np.ndarray) -> np.ndarray:
        """Unit vectors [B, E]."""
        pixels = torch.from_numpy(pixels_B3SS).to(self.device)
        return self.model.encode_image(pixels, normalize=True).float().cpu().numpy()


class OpenClipTexts:
    """The text tower with the tokenizer of its name, which cuts what is longer than the context."""

    def __init__(self, of: OpenClipModel, tokenizer, key: str) -> None:
        self.of, self.tokenizer, self.key = of, tokenizer, key

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors [N, E]."""
        ids_NT = self.tokenizer(list(texts)).to(self.of.device)
        return self.of.model.encode_text(ids_NT, normalize=True).float().cpu().numpy()
