"""A two-tower model in transformers' layout (CLIP, SigLIP, SigLIP 2, Chinese-CLIP, …): a folder with config.json.

Shapes: N texts, B images, S pixels a side, E dimensions.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from evaluation.bench import TextTier
from evaluation.published.open_clip_model import digest_of_weights

TOWERS = ("get_text_features", "get_image_features")


class TransformersModel:
    """One tier, `text`; tokenizer and image processor are those of the folder."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        from transformers import AutoImageProcessor, AutoModel

        self.title, self.device = folder.name, device
        model: Any = AutoModel.from_pretrained(folder).float().eval().to(device)
        if not all(hasattr(model, name) for name in TOWERS):
            raise ValueError(
                f"{folder} holds a {type(model).__name__}, which has not both towers of a CLIP ({' and '.join(TOWERS)})"
            )
        self.model: Any = model
        self.processor: Any = AutoImageProcessor.from_pretrained(folder)
        digest = digest_of_weights(model.state_dict())
        self.space = f"{digest} {self.processor.to_json_string()}"
        self.int8_scale = 127.0
        self.tiers: Mapping[str, TextTier] = {"text": TransformersTexts(self, folder, digest)}
        self.dims = [self.tiers["text"].embed(["a"]).shape[1]]

    def pixels(self, image: bytes | Image.Image) -> np.ndarray:
        """float32 [3, S, S]."""
        opened = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else image
        return np.asarray(
            self.processor(images=opened.convert("RGB"), return_tensors="np")["pixel_values"][0], np.float32
        )

    @torch.inference_mode()
    def embed_pixels(self, pixels_B3SS: np.ndarray) -> np.ndarray:
        """Unit vectors [B, E]."""
        return unit(self.model.get_image_features(pixel_values=torch.from_numpy(pixels_B3SS).to(self.device)))


class TransformersTexts:
    """The text tower; SigLIP's were trained with texts filled up to their whole length, the others ignore what fills up."""

    def __init__(self, of: TransformersModel, folder: Path, digest: str) -> None:
        from transformers import AutoTokenizer

        self.of, self.key = of, f"transformers {digest}"
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        config = of.model.config
        self.length = getattr(config, "text_config", config).max_position_embeddings
        self.padding = "max_length" if config.model_type.startswith("siglip") else True

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors [N, E]."""
        batch = self.tokenizer(
            list(texts), padding=self.padding, truncation=True, max_length=self.length, return_tensors="pt"
        ).to(self.of.device)
        return unit(self.of.model.get_text_features(**batch))


def unit(found: Any) -> np.ndarray:
    """Unit vectors [B, E] of what a tower gives, which newer versions wrap."""
    vectors = found if isinstance(found, torch.Tensor) else found.pooler_output
    return F.normalize(vectors.float(), dim=-1).cpu().numpy()
