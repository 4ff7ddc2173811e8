"""Writes LLM2CLIP as it is published, tiny: `python test/support/llm2clip_checkpoint.py FOLDER PICTURE`.

`FOLDER/released` and `FOLDER/language-model`; prints the vector of the picture by the layout's own library, as JSON.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "trainer"), str(ROOT / "contracts/python"), str(ROOT / "test/trainer")]

import towers  # noqa: E402, F401  (makes transformers importable beside a CPU build of torch)


def main() -> None:
    """Write the folders, print the vector."""
    import torch
    from published_llm2clip import write_language_model, write_released
    from torch.nn import functional as F

    from exchange.incoming.llm2clip import read_llm2clip_image
    from towers.preprocess import preprocess

    folder, picture = (Path(word) for word in sys.argv[1:])
    write_language_model(folder / "language-model")
    model = write_released(folder / "released", width=32)
    recipe = read_llm2clip_image(folder / "released", None).preprocess
    pixels = torch.from_numpy(preprocess(picture.read_bytes(), recipe))[None]
    with torch.no_grad():
        print(json.dumps(F.normalize(model(pixel_values=pixels).image_embeds, dim=-1)[0].tolist()))


if __name__ == "__main__":
    main()
