"""The files of a student in a run of `distill`: a transformer's weights, shape and vocabulary; the rows of the static tier."""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import load_file, save_file

from towers.student.model import StaticStudent, StudentShape, TextStudent
from towers.wordpiece import WordPiece


def save_student(folder: Path, student: TextStudent, wordpiece: WordPiece, tier: str = "student") -> None:
    """TIER.safetensors, TIER.json (its shape) and vocabulary.txt."""
    state = {name: value.detach().float().cpu().contiguous() for name, value in student.state_dict().items()}
    save_file(state, folder / f"{tier}.safetensors")
    (folder / f"{tier}.json").write_text(json.dumps(asdict(student.shape), indent=2) + "\n", encoding="utf-8")
    wordpiece.write(folder / "vocabulary.txt")


def load_student(folder: Path, tier: str = "student") -> tuple[TextStudent, WordPiece]:
    """What `save_student` wrote, ready to embed; with the static tier of the folder where its vectors are sums."""
    shape = StudentShape(**json.loads((folder / f"{tier}.json").read_text(encoding="utf-8")))
    student = TextStudent(shape)
    student.load_state_dict(load_file(folder / f"{tier}.safetensors"))
    if shape.static_weight:
        student.add_static(load_static(folder))
    return student.eval(), WordPiece.read(folder / "vocabulary.txt")


def save_static(folder: Path, static: StaticStudent) -> None:
    """static.safetensors {rows [V, K], and projection [K, E] where K is less than E}."""
    tensors = {"rows": static.rows.weight} | ({} if static.projection is None else {"projection": static.projection})
    save_file(
        {name: t.detach().float().cpu().contiguous() for name, t in tensors.items()}, folder / "static.safetensors"
    )


def load_static(folder: Path) -> StaticStudent:
    """What `save_static` wrote."""
    tensors = load_file(folder / "static.safetensors")
    return StaticStudent(tensors["rows"], tensors.get("projection")).eval()
