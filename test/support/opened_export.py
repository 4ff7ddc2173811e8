"""Opens an exported model with the library that it was written for: `python test/support/opened_export.py FORMAT FOLDER MANIFEST PICTURE TEXT…`.

Prints the vectors of the texts and of the picture as JSON, as far as the folder has towers.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("trainer", "contracts/python", "test/trainer", "test/support")]

import towers  # noqa: E402, F401  (makes transformers importable beside a CPU build of torch)


def main() -> None:
    """Print the vectors."""
    from opened_exports import opened

    layout, folder, manifest, picture, *texts = sys.argv[1:]
    recipe = json.loads(Path(manifest).read_text(encoding="utf-8"))["image"]["preprocess"]
    found = opened(layout, Path(folder), texts, Path(picture), recipe)
    print(json.dumps({part: vectors.tolist() for part, vectors in found.items()}))


if __name__ == "__main__":
    main()
