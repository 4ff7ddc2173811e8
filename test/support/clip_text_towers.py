"""Writes tiny text towers as `import` does: `python test/support/clip_text_towers.py FOLDER LENGTH…`.

A folder below FOLDER for each kind of tower. Their weights are whole numbers times a scale, so that the served files lose nothing. Prints
by kind what a manifest says of the tower, and by length ids and the vector of the float module, as JSON.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "trainer"), str(ROOT / "contracts/python")]

import torch  # noqa: E402

from exchange.incoming.clip_text import ClipText, ClipTextShape, export_clip_text  # noqa: E402
from exchange.incoming.isolate import EngineShape  # noqa: E402
from towers.onnx_export import write_table  # noqa: E402
from towers.student.rounding import fake_quantize_rows  # noqa: E402

SHAPES = {
    "clip": ClipTextShape(
        vocabulary_size=300, context_length=77, width=64, heads=2, layers=3, hidden=256, embed_dim=32,
        activation="quick_gelu", eps=1e-5, padding=None,
    ),
    "mobileclip": ClipTextShape(
        vocabulary_size=300, context_length=21, width=48, heads=2, layers=2, hidden=96, embed_dim=40,
        activation="gelu", eps=1e-5, padding=0,
    ),
    "siglip": ClipTextShape(
        vocabulary_size=300, context_length=64, width=64, heads=4, layers=2, hidden=120, embed_dim=64,
        activation="gelu_tanh", eps=1e-6, padding=1, pooling="context", projection_bias=True,
    ),
}  # fmt: skip


def main() -> None:
    """Write the folders, print the vectors."""
    folder, *lengths = sys.argv[1:]
    torch.manual_seed(5)
    found = {}
    for name, shape in SHAPES.items():
        tower = ClipText(shape)
        with torch.no_grad():
            for parameter in tower.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
            for block in tower.blocks:
                for matrix in (block.qkv, block.out, block.up, block.down):  # pyright: ignore[reportAttributeAccessIssue]
                    matrix.weight.copy_(fake_quantize_rows(matrix.weight))
            tower.table.weight.copy_(fake_quantize_rows(tower.table.weight))
        target = Path(folder) / name
        target.mkdir(parents=True)
        export_clip_text(tower, target, 20)
        write_table(tower.table.weight, target / "text.table.bin")
        texts = [
            torch.randint(2, 300, (int(length),)).tolist() for length in lengths if int(length) <= shape.context_length
        ]
        found[name] = {
            "table": {"rows": shape.vocabulary_size, "width": shape.width},
            "tokens": shape.context_length,
            "linear_bytes": EngineShape.of_clip(shape).linear_bytes(),
            "texts": [{"ids": ids, "vector": tower.embed(ids).tolist()} for ids in texts],
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
