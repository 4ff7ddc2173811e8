"""A two-tower model in transformers' layout (CLIP, SigLIP, SigLIP 2, Chinese-CLIP, …): a folder with config.json.

Shapes: N texts, B images of H x W pixels, R rows and C columns of patches of P pixels a side, E dimensions.
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
from evaluation.published.identity import digest_of_weights, digests_of_settings, identity
from towers.preprocess import damage_told
from towers.published_weights import refuse_missing
from towers.quantisation import WITHOUT_MANIFEST

TOWERS = ("get_text_features", "get_image_features")


class TransformersModel:
    """One tier, `text`; tokenizer and image processor are those of the folder."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        from transformers import AutoImageProcessor, AutoModel

        self.title, self.device = folder.name, device
        model: Any
        model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
        refuse_missing(folder, info["missing_keys"])
        model = model.float().eval().to(device)
        if not all(hasattr(model, name) for name in TOWERS):
            raise ValueError(
                f"{folder} holds a {type(model).__name__}, which has not both towers of a CLIP ({' and '.join(TOWERS)})"
            )
        self.model: Any = model
        self.processor: Any = AutoImageProcessor.from_pretrained(folder)
        config = {key: value for key, value in model.config.to_dict().items() if key != "_name_or_path"}
        weights = digest_of_weights(model.state_dict())
        self.space = identity("transformers", weights, config, self.processor.to_json_string())
        self.quantisation = WITHOUT_MANIFEST
        self.tiers: Mapping[str, TextTier] = {
            "text": TransformersTexts(
                self, folder, identity("transformers", weights, config, digests_of_settings(folder))
            )
        }
        self.dims = [self.tiers["text"].embed(["a"]).shape[1]]

    def pixels(self, image: bytes | Image.Image) -> np.ndarray:
        """float32 [3, H, W]: of a tower that reads patches the picture that they were cut of."""
        with damage_told():
            opened = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else image
            rgb = opened.convert("RGB")
        inputs = self.processor(images=rgb, return_tensors="np")
        prepared = np.asarray(inputs["pixel_values"][0], np.float32)
        if "spatial_shapes" not in inputs:
            return prepared
        R, C = (int(side) for side in inputs["spatial_shapes"][0])
        P = self.processor.patch_size
        return prepared[: R * C].reshape(R, C, P, P, 3).transpose(4, 0, 2, 1, 3).reshape(3, R * P, C * P)

    @torch.inference_mode()
    def embed_pixels(self, pixels_B3HW: np.ndarray) -> np.ndarray:
        """Unit vectors [B, E]."""
        pixels = torch.from_numpy(pixels_B3HW).to(self.device)
        if self.model.config.model_type != "siglip2":
            return unit(self.model.get_image_features(pixel_values=pixels))
        P = self.processor.patch_size
        B, _, H, W = pixels.shape
        R, C = H // P, W // P
        patches = pixels.reshape(B, 3, R, P, C, P).permute(0, 2, 4, 3, 5, 1).reshape(B, R * C, -1)
        mask = torch.ones(patches.shape[:2], dtype=torch.int32, device=self.device)
        shapes = torch.tensor([[R, C]], device=self.device).repeat(B, 1)
        return unit(self.model.get_image_features(patches, pixel_attention_mask=mask, spatial_shapes=shapes))


class TransformersTexts:
    """The text tower; SigLIP's were trained with texts filled up to their whole length, the others ignore what fills up."""

    def __init__(self, of: TransformersModel, folder: Path, key: str) -> None:
        from transformers import AutoTokenizer

        self.of, self.key = of, key
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
