"""Writes small students as `export` does: `python test/support/student_towers.py FOLDER LENGTHS`.

A folder below FOLDER for each kind: `student`, `widened`, whose token rows are narrower than its states, and `extreme`, whose weights
make every intermediate number large and whose rows hold the largest, the smallest and nothing but zeros. Weights are whole numbers
times a scale, so that the served files lose nothing. Prints by kind what a manifest says of the table, and a text of each length from 1
to LENGTHS with the vector of the float module, as JSON.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "trainer"), str(ROOT / "contracts/python")]

import torch  # noqa: E402

from towers.onnx_export import export_student, write_table  # noqa: E402
from towers.student.model import Block, StudentShape, TextStudent  # noqa: E402
from towers.student.rounding import fake_quantize_rows  # noqa: E402

PIECES = 300
KINDS = {"student": None, "widened": 24, "extreme": None}
EXTREMES = {2: 0.0, 3: 1e4, 4: 1e-6}  # rows of the table by their id, and what they are multiplied with


def main() -> None:
    """Write the folders, print the vectors."""
    folder, lengths = Path(sys.argv[1]), int(sys.argv[2])
    torch.manual_seed(5)
    ids = [torch.randint(2, PIECES, (length,)).tolist() for length in range(1, lengths + 1)]
    found = {}
    for name, table_width in KINDS.items():
        shape = StudentShape(PIECES, 2, 64, 2, 512, 64, table_width=table_width)
        student = TextStudent(shape).eval()
        with torch.no_grad():
            spread(student, 8.0 if name == "extreme" else 1.0)
            if name == "extreme":
                for row, factor in EXTREMES.items():
                    student.table.weight[row] *= factor
            for matrix in matrices(student):
                matrix.copy_(fake_quantize_rows(matrix))
        target = folder / name
        target.mkdir(parents=True)
        export_student(student, target, 20)
        write_table(student.table.weight, target / "text.table.bin")
        vectors = student.embed(ids)
        found[name] = {
            "table": {"rows": PIECES, "width": table_width or shape.width},
            "texts": [{"ids": text, "vector": vector.tolist()} for text, vector in zip(ids, vectors, strict=True)],
        }
    print(json.dumps(found))


def spread(student: TextStudent, factor: float) -> None:
    """Weights as far apart as trained ones, times `factor`."""
    for parameter in student.parameters():
        parameter.add_(0.1 * factor * torch.randn_like(parameter))


def matrices(student: TextStudent) -> list[torch.Tensor]:
    """What is served in int8."""
    blocks = [block for block in student.blocks if isinstance(block, Block)]
    return [student.table.weight, *(part.weight for b in blocks for part in (b.qkv, b.out, b.up, b.down))]


if __name__ == "__main__":
    main()
