"""Writes what the loop trains on: drawn pictures with captions in tars, texts, and a language model with random weights.

    python test/loop/drawn_data.py CHECKOUT

`data/` gets what a first training reads, `arriving/` the pictures that come later, `trainer/weights/` the model. The first
pictures lack two of the six colours, which texts speak of: what comes later is what the first training has never seen.
"""

import io
import json
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "trainer"), str(ROOT / "contracts/python")]

from bench.small_models import COLOURS, SHAPES, drawing  # noqa: E402
from gpu_check.small import CLASSES, write_language_model, write_lines  # noqa: E402

KNOWN = 4  # colours of the first pictures, of the six that follow each other
# Enough dev pictures that the gate compares two models by more than the luck of a few.
FIRST, DEV, LATER = range(144), range(144, 324), range(324, 432)
SIZE = (52, 40)


def captions_of(colour: str, shape: str, number: int) -> list[str]:
    """Two ways to say it, one of them the picture's own."""
    return [f"a {colour} {shape}, number {number}", f"there is a {shape} that is {colour}"]


def write_tar(file: Path, numbers: Iterable[int]) -> None:
    """Pictures KEY.jpg with their captions in KEY.txt."""
    with tarfile.open(file, "w") as archive:
        for number in numbers:
            image, colour, shape = drawing(number, SIZE)
            jpeg = io.BytesIO()
            image.save(jpeg, "JPEG", quality=90)
            text = "\n".join(captions_of(colour, shape, number)).encode()
            for suffix, data in (("jpg", jpeg.getvalue()), ("txt", text)):
                member = tarfile.TarInfo(f"drawn{number:03d}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def main() -> None:
    """Write everything."""
    checkout = Path(sys.argv[1])
    data, arriving = checkout / "data", checkout / "arriving"
    for folder in (data, arriving):
        folder.mkdir()
    write_tar(data / "train-0.tar", [number for number in FIRST if number % len(COLOURS) < KNOWN])
    write_tar(data / "dev.tar", DEV)
    write_tar(arriving / "train-1.tar", [number for number in LATER if number % len(COLOURS) >= KNOWN])

    said = [captions_of(colour, shape, n) for n in range(7, 288, 11) for colour in COLOURS for shape in SHAPES]
    groups = [{"id": f"g{number}", "source": "drawn", "captions": captions} for number, captions in enumerate(said)]
    write_lines(data / "groups.jsonl", groups)
    plain = "\n".join(captions[0] for captions in said)
    write_lines(data / "plain.jsonl", [{"source": "drawn", "title": "shapes", "text": plain}])
    classes = [{"index": number, "name": name} for number, name in enumerate(CLASSES)]
    described = {"classes": classes, "templates": ["a photo of a {}."]}
    (data / "classes.json").write_text(json.dumps(described), encoding="utf-8")
    write_language_model(checkout / "trainer" / "weights" / "language_model")


if __name__ == "__main__":
    main()
