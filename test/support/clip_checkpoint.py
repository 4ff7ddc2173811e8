"""Writes a tiny published CLIP: `python test/support/clip_checkpoint.py FOLDER PICTURE TEXT…` prints its library's vectors as JSON."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "trainer"), str(ROOT / "contracts/python"), str(ROOT / "test/trainer")]

import towers  # noqa: E402, F401  (makes transformers importable beside a CPU build of torch)


def main() -> None:
    """Write the folder, print the vectors."""
    import torch

    from published_clip import image_vectors, text_vectors, write_clip
    from towers.preprocess import preprocess

    folder, picture, *texts = sys.argv[1:]
    model = write_clip(Path(folder))
    own = json.loads((Path(folder) / "preprocessor_config.json").read_text())
    recipe = {
        "resize_mode": "shortest", "size": 64, "interpolation": "bicubic", "crop": "center", "mean": own["image_mean"],
        "std": own["image_std"], "color": "rgb",
    }  # fmt: skip
    pixels = torch.from_numpy(preprocess(Path(picture).read_bytes(), recipe))[None]
    found = {"texts": text_vectors(model, texts).tolist(), "image": image_vectors(model, pixels)[0].tolist()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
