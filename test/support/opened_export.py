"""Opens exported models with the library that each was written for: `python test/support/opened_export.py PICTURE TEXT…`.

Each line of standard input is {"format", "folder", "manifest"}; it is answered by a line: the vectors of the texts and of the
picture as JSON, as far as the folder has towers. One process for many, because the libraries take seconds to import.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("trainer", "contracts/python", "test/trainer", "test/support")]

import towers  # noqa: E402, F401  (makes transformers importable beside a CPU build of torch)


def main() -> None:
    """Answer line by line."""
    from opened_exports import opened

    picture, *texts = sys.argv[1:]
    for line in sys.stdin:
        asked = json.loads(line)
        recipe = json.loads(Path(asked["manifest"]).read_text(encoding="utf-8"))["image"]["preprocess"]
        found = opened(asked["format"], Path(asked["folder"]), texts, Path(picture), recipe)
        print(json.dumps({part: vectors.tolist() for part, vectors in found.items()}), flush=True)


if __name__ == "__main__":
    main()
