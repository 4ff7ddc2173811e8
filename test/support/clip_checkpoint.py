"""Writes tiny published checkpoints: `python test/support/clip_checkpoint.py FOLDER PICTURE TEXT…`.

A folder of each layout below FOLDER; prints by layout the vectors of its library, as JSON.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [
    str(ROOT / "trainer"),
    str(ROOT / "contracts/python"),
    str(ROOT / "test/trainer"),
    str(ROOT / "test/support"),
]

import towers  # noqa: E402, F401  (makes transformers importable beside a CPU build of torch)


def main() -> None:
    """Write the folders, print the vectors."""
    import torch
    from published_layouts import LAYOUTS

    from exchange.incoming.read import read_checkpoint
    from towers.preprocess import preprocess

    folder, picture, *texts = sys.argv[1:]
    found = {}
    for layout, write in LAYOUTS.items():
        library = write(Path(folder) / layout)
        # How pictures are prepared is in the folder, which the import reads; what it makes of it has tests of its own.
        recipe = read_checkpoint(Path(folder) / layout).preprocess
        pixels = torch.from_numpy(preprocess(Path(picture).read_bytes(), recipe))[None]
        found[layout] = {"texts": library.texts(texts).tolist(), "image": library.images(pixels)[0].tolist()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
