"""Initialises the student from a pretrained BERT-shaped sentence encoder that has another vocabulary.

Blocks and positions are copied. The embedding row of a piece is the pretrained row of the same piece, or the mean of the
rows of the pretrained pieces that spell it. Where the student has a trained static tier, that tier knows what a piece means
in any language: a piece that an English vocabulary lacks starts as the pieces that mean nearly the same (as WECHSEL does,
Minixhofer et al., 2112.06598, and FOCUS, Dobler and de Melo, 2305.14481).
"""

import json
from collections import defaultdict
from pathlib import Path

import torch
from safetensors.torch import load_file

from towers.package_files import file_in_package
from towers.student.model import TextStudent, principal_directions
from towers.wordpiece import SPECIAL_TOKENS, WordPiece

NEAREST = 8  # pieces whose rows a piece of another language starts from
SHARPNESS = 20.0  # of the softmax over their cosines

BLOCK_NAMES = {
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "norm_attention",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm_feed_forward",
}


def init_from_package(student: TextStudent, wordpiece: WordPiece, package: str) -> None:
    """Initialise a student with the BERT that a Python package carries (config.json, model.safetensors, vocab.txt)."""
    file = file_in_package(package, "model.safetensors", "the student's initial weights")
    init_from_folder(student, wordpiece, file.parent)


def init_from_folder(student: TextStudent, wordpiece: WordPiece, folder: Path) -> None:
    """Initialise a student with the BERT of a Hugging Face folder; a shape that does not fit is an error."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    shape = student.shape
    theirs = (config["hidden_size"], config["num_attention_heads"])
    if theirs != (shape.width, shape.heads) or config["intermediate_size"] != 4 * shape.width:
        raise ValueError(f"{folder.name}: (width, heads) is {theirs}, the student's {shape}")
    chosen = spaced_layers(config["num_hidden_layers"], shape.layers)
    if config["max_position_embeddings"] < shape.context_length:
        raise ValueError(f"{folder.name} has only {config['max_position_embeddings']} positions")
    weights = {
        name.removeprefix("bert."): value.float() for name, value in load_file(folder / "model.safetensors").items()
    }
    state: dict[str, torch.Tensor] = {}
    for kind in ("weight", "bias"):
        state[f"norm.{kind}"] = weights[f"embeddings.LayerNorm.{kind}"]
        for number, source in enumerate(chosen):
            layer = f"encoder.layer.{source}"
            parts = [weights[f"{layer}.attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
            state[f"blocks.{number}.qkv.{kind}"] = torch.cat(parts)
            for theirs_name, name in BLOCK_NAMES.items():
                state[f"blocks.{number}.{name}.{kind}"] = weights[f"{layer}.{theirs_name}.{kind}"]
    positions = weights["embeddings.position_embeddings.weight"][: shape.context_length]
    state["positions.weight"] = positions + weights["embeddings.token_type_embeddings.weight"][0]
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    rows_VD = rows_for(wordpiece.pieces, vocabulary, weights["embeddings.word_embeddings.weight"])
    for static in student.static:
        rows_VD = rows_by_meaning(rows_VD, english_pieces(wordpiece.pieces, vocabulary), static.meanings().cpu())
    state |= table_of(rows_VD, shape.table_width or shape.width)
    missing = student.load_state_dict(state, strict=False)
    if missing.unexpected_keys or set(missing.missing_keys) != {"projection.weight", "projection.bias"}:
        raise ValueError(f"{folder.name} does not fill the student: {missing}")


def init_from_student(student: TextStudent, teacher: TextStudent) -> None:
    """Initialise a student with evenly spaced layers and the table of one that is wider or deeper."""
    shape, theirs = student.shape, teacher.shape
    if (theirs.width, theirs.heads) != (shape.width, shape.heads) or theirs.context_length < shape.context_length:
        raise ValueError(f"the student has the shape {theirs}, the tier that starts from it {shape}")
    chosen = spaced_layers(theirs.layers, shape.layers)
    state = {name: value.detach().cpu() for name, value in teacher.state_dict().items()}
    kept = {name: value for name, value in state.items() if name.split(".")[0] in ("norm", "projection")}
    for number, source in enumerate(chosen):
        prefix = f"blocks.{source}."
        kept |= {f"blocks.{number}.{name.removeprefix(prefix)}": value
                 for name, value in state.items() if name.startswith(prefix)}  # fmt: skip
    kept["positions.weight"] = state["positions.weight"][: shape.context_length]
    with torch.no_grad():
        rows_VD = teacher.widen(teacher.table.weight).cpu()
    student.load_state_dict(kept | table_of(rows_VD, shape.table_width or shape.width))


def spaced_layers(available: int, wanted: int) -> list[int]:
    """Numbers of the layers that a student takes: the first, the last and evenly spaced ones in between."""
    if wanted > available:
        raise ValueError(f"the initial weights have {available} layers, the student {wanted}")
    if wanted == 1:
        return [0]
    return [round(number * (available - 1) / (wanted - 1)) for number in range(wanted)]


def table_of(rows_VD: torch.Tensor, width: int) -> dict[str, torch.Tensor]:
    """Weights of a table; where that is narrower than its rows, their principal directions and the way back."""
    if width == rows_VD.shape[1]:
        return {"table.weight": rows_VD}
    widen_DK = principal_directions(rows_VD, width)
    return {"table.weight": rows_VD @ widen_DK, "widen.weight": widen_DK}


def rows_for(pieces: list[str], vocabulary: list[str], rows_VD: torch.Tensor) -> torch.Tensor:
    """The initial embedding row of each of our pieces, from the rows of another vocabulary."""
    ids = {piece: number for number, piece in enumerate(vocabulary)}
    by_length: dict[int, list[tuple[int, list[int]]]] = defaultdict(list)
    for number, piece in enumerate(pieces):
        found = spelled(piece, ids)
        by_length[len(found)].append((number, found))
    ours_VD = rows_VD.new_empty(len(pieces), rows_VD.shape[1])
    # All that are spelled with equally many at once: one by one they take seconds.
    for some in by_length.values():
        numbers, spellings = zip(*some, strict=True)
        ours_VD[list(numbers)] = rows_VD[torch.tensor(spellings)].mean(1)
    return ours_VD


def english_pieces(pieces: list[str], vocabulary: list[str]) -> torch.Tensor:
    """Which pieces [V] the other vocabulary has and its training knew: letters and words beyond ASCII are in it untrained."""
    theirs = set(vocabulary)
    return torch.tensor([piece in theirs and piece.isascii() for piece in pieces])


def rows_by_meaning(rows_VD: torch.Tensor, known_V: torch.Tensor, meanings_VE: torch.Tensor) -> torch.Tensor:
    """Rows [V, D] in which every unknown piece has the mean of the rows of the known pieces nearest to it in meaning."""
    piece_V = torch.arange(len(known_V)) >= len(SPECIAL_TOKENS)  # the special tokens mean nothing
    known, unknown = torch.nonzero(known_V & piece_V)[:, 0], torch.nonzero(~known_V & piece_V)[:, 0]
    if len(known) == 0 or len(unknown) == 0:
        return rows_VD
    rows_VD, anchors_KE = rows_VD.clone(), meanings_VE[known]
    for some in unknown.split(1024):
        cosines, nearest = (meanings_VE[some] @ anchors_KE.T).topk(min(NEAREST, len(known)), dim=1)
        share = (SHARPNESS * cosines).softmax(1)
        rows_VD[some] = (share[..., None] * rows_VD[known[nearest]]).sum(1)
    return rows_VD


def spelled(piece: str, ids: dict[str, int]) -> list[int]:
    """Ids of the longest known pieces that spell a piece from left to right; [UNK] where a character is unknown."""
    if piece in ids:
        return [ids[piece]]
    if piece in SPECIAL_TOKENS:
        return [ids["[UNK]"]]
    inside = piece.startswith("##")
    text = piece.removeprefix("##")
    found: list[int] = []
    start = 0
    while start < len(text):
        for end in range(len(text), start, -1):
            candidate = ("##" if inside or start > 0 else "") + text[start:end]
            if candidate in ids:
                found.append(ids[candidate])
                start = end
                break
        else:
            return [ids["[UNK]"]]
    return found
