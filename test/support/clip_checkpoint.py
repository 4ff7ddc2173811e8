"""Writes tiny published checkpoints: `python test/support/clip_checkpoint.py FOLDER PICTURE TEXT…`.

A folder of each layout below FOLDER; prints by layout the vectors of its library, as JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "trainer"), str(ROOT / "contracts/python"), str(ROOT / "test/trainer")]

import towers  # noqa: E402, F401  (makes transformers importable beside a CPU build of torch)


def square(own: dict[str, Any], resize: str, side: int) -> dict[str, Any]:
    """How a layout prepares pictures, in the words of a manifest."""
    crop = "center" if resize == "shortest" else "none"
    mean, std = own["image_mean"], own["image_std"]
    return {
        "resize_mode": resize,
        "size": side,
        "interpolation": "bicubic",
        "crop": crop,
        "mean": mean,
        "std": std,
        "color": "rgb",
    }


def main() -> None:
    """Write the folders, print the vectors."""
    import open_clip
    import torch
    from published_open_clip import PICTURES, TEXT, published
    from torch.nn import functional as F

    import published_siglip as siglip
    from published_clip import image_vectors, text_vectors, write_clip
    from towers.preprocess import preprocess

    folder, picture, *texts = sys.argv[1:]

    def pixels_of(layout: str, resize: str) -> torch.Tensor:
        own = json.loads((Path(folder) / layout / "preprocessor_config.json").read_text())
        return torch.from_numpy(preprocess(Path(picture).read_bytes(), square(own, resize, 64)))[None]  # pyright: ignore[reportArgumentType]

    model = write_clip(Path(folder) / "clip")
    found = {
        "clip": {
            "texts": text_vectors(model, texts).tolist(),
            "image": image_vectors(model, pixels_of("clip", "shortest"))[0].tolist(),
        }
    }
    for layout, write in {"siglip": siglip.write_siglip, "siglip2": siglip.write_siglip2}.items():
        model, tokenizer = write(Path(folder) / layout)
        with torch.no_grad():
            image = F.normalize(siglip.image_features(model, pixels_of(layout, "squash")), dim=-1)
        vectors = siglip.siglip_text_vectors(model, tokenizer, texts)
        found[layout] = {"texts": vectors.tolist(), "image": image[0].tolist()}
    mean_and_std = {"image_mean": PICTURES["mean"], "image_std": PICTURES["std"]}
    for layout, (name, side) in {"eva-clip": ("EVA-CLIP", 224), "mobileclip": ("MobileCLIP2", 256)}.items():
        (Path(folder) / layout).mkdir()
        model = published(Path(folder) / layout, name)
        recipe: Any = square(mean_and_std, "shortest", side)
        pixels = torch.from_numpy(preprocess(Path(picture).read_bytes(), recipe))[None]
        ids = open_clip.get_tokenizer("ViT-B-32", context_length=TEXT["context_length"])(texts)
        with torch.no_grad():
            vectors, image = (
                F.normalize(each, dim=-1) for each in (model.encode_text(ids), model.encode_image(pixels))
            )
        found[layout] = {"texts": vectors.tolist(), "image": image[0].tolist()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
