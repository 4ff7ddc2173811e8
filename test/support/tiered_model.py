"""Writes a complete model of three tiers and random weights with the trainer's own export: for tests of what serves it.

    python test/support/tiered_model.py FOLDER [RUN]

RUN becomes what a finished run of `distill` leaves of it, with the float weights.

The vocabulary of the tokenizer vectors and the 256 bytes. The student's vectors are sums with the static tier's; tiny has a
table narrower than its states; the static table is narrower than the space. Golden vectors are PyTorch's in float32.
"""

import json
import sys
from pathlib import Path

import onnx
import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "trainer"), str(ROOT / "contracts/python"), str(Path(__file__).parent)]

from tiny_model import SIZE, image_model  # noqa: E402

from contracts import load  # noqa: E402
from engine.folders.files import artefact  # noqa: E402
from towers.exported_files import tokenizer_of, write_static, write_tower  # noqa: E402
from towers.onnx_export import space_id  # noqa: E402
from towers.student.files import save_static, save_student  # noqa: E402
from towers.student.model import StaticStudent, StudentShape, TextStudent  # noqa: E402
from towers.wordpiece import BYTES, SPECIAL_TOKENS, WordPiece  # noqa: E402

EMBED_DIM, CONTEXT = 64, 160
TEXTS = ["a dog runs", "dog\U0001f44d", "\u72ac", "two dogs and a man . " * 30]


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    known = (ROOT / "contracts/vectors/tokenizer/vocabulary.txt").read_text(encoding="utf-8").splitlines()
    wordpiece = WordPiece([*SPECIAL_TOKENS, *BYTES, *(piece for piece in known if piece not in SPECIAL_TOKENS)])
    wordpiece.write(folder / "vocabulary.txt")
    static = StaticStudent(torch.randn(len(wordpiece.pieces), 16), torch.randn(16, EMBED_DIM)).eval()
    sizes = {"student": (2, 32, 1.0), "tiny": (1, 8, 0.0)}
    tiers = {}
    for tier, (layers, table_width, static_weight) in sizes.items():
        shape = StudentShape(
            len(wordpiece.pieces), layers, 32, 4, CONTEXT, EMBED_DIM, [64, 32], table_width, static_weight
        )
        tiers[tier] = TextStudent(shape).eval()
        for parameter in tiers[tier].parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        tiers[tier].add_static(static)
    onnx.save(image_model(), folder / "image.onnx")
    preprocess = {
        "resize_mode": "squash", "size": SIZE, "interpolation": "bicubic", "crop": "none",
        "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "color": "rgb",
    }  # fmt: skip
    with torch.no_grad():
        vectors = {tier: student.embed(wordpiece.encode(TEXTS, CONTEXT)) for tier, student in tiers.items()}
        vectors["static"] = static([ids[:CONTEXT] for ids in wordpiece.tokens(TEXTS)])
    zero = {"scale": 1.0, "bias": 0.0}
    tower = write_tower(folder, tiers["student"], "text", 20)
    manifest = {
        "schema_version": 1,
        "name": "tiered",
        "version": "1",
        "created_at": "2026-11-26T00:00:00Z",
        "space_id": space_id(folder / "image.onnx", preprocess, EMBED_DIM),
        "embed_dim": EMBED_DIM,
        "matryoshka_dims": [64, 32],
        "text": {"tokenizer": tokenizer_of(folder, wordpiece), "context_length": CONTEXT, **tower},
        "tiny": write_tower(folder, tiers["tiny"], "tiny", 20),
        "static": write_static(folder, static),
        "image": {"preprocess": preprocess, "graph": {"file": artefact(folder, "image.onnx"), "opset": 17}},
        "calibration": {"text_image": zero, "text_text": zero, "image_image": zero},
        "golden": [
            {"text": text, "tier": tier, "embedding": vector.tolist(), "min_cosine": 0.99}
            for tier, vectors_NE in vectors.items()
            for text, vector in zip(TEXTS, vectors_NE, strict=True)
        ],
        "metrics": {},
        "lineage": {"recipe": "tiered_model.py", "code": "sha256:" + "0" * 64, "parents": []},
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    load("ModelManifest", text)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
    for run in map(Path, sys.argv[2:]):
        run.mkdir(parents=True)
        for tier, student in tiers.items():
            save_student(run, student, wordpiece, tier)
        save_static(run, static)
        (run / "report.json").write_text("{}", encoding="utf-8")


if __name__ == "__main__":
    main()
