"""SentencePiece vocabularies in folders of transformers and open_clip: the library's model file, or the same in `tokenizer.json`."""

import base64
import json
from pathlib import Path
from typing import Any

from sentencepiece import sentencepiece_model_pb2 as protocol

from exchange.refusal import CannotExpress
from towers.sentencepiece_text import Cleaning, SentencePiece

MODEL_FILES = ("spiece.model", "tokenizer.model", "sentencepiece.model")
Model: Any = protocol.ModelProto  # pyright: ignore[reportAttributeAccessIssue] - made at run time


def read_sentencepiece(folder: Path, cleaning: Cleaning | None) -> SentencePiece:
    """With the special tokens that the folder's `tokenizer_config.json` names."""
    files = [folder / name for name in MODEL_FILES if (folder / name).is_file()]
    if files:
        model = Model.FromString(files[0].read_bytes())
    elif (folder / "tokenizer.json").is_file():
        model = from_tokenizer_json(folder / "tokenizer.json")
    else:
        raise CannotExpress(
            f"{folder} has none of {', '.join(MODEL_FILES)} and no tokenizer.json: texts cannot be read without"
        )
    ids = {piece.piece: number for number, piece in enumerate(model.pieces)}
    names = {"end": token_name(folder, "eos_token", "</s>"), "pad": token_name(folder, "pad_token", "</s>")}
    missing = [name for name in names.values() if name not in ids]
    if missing:
        raise CannotExpress(f"the vocabulary in {folder} has no {missing[0]}, which its tokenizer_config.json names")
    return SentencePiece(model.SerializeToString(), ids[names["end"]], ids[names["pad"]], cleaning)


def setting(folder: Path, name: str) -> Any:
    """What `tokenizer_config.json` says, or None."""
    file = folder / "tokenizer_config.json"
    return json.loads(file.read_text(encoding="utf-8")).get(name) if file.is_file() else None


def token_name(folder: Path, name: str, absent: str) -> str:
    """A special token, which is written as a string or with settings of its own."""
    own = setting(folder, name) or absent
    return own if isinstance(own, str) else own["content"]


def from_tokenizer_json(file: Path) -> Any:
    """The library's model behind the file of `tokenizers`, which was made of one: the same pieces and rules in other words."""
    whole = json.loads(file.read_text(encoding="utf-8"))
    own, added = whole["model"], whole.get("added_tokens", [])
    kind = own.get("type")
    if kind == "Unigram":
        pieces = [(piece, score) for piece, score in own["vocab"]]
        unknown = own["unk_id"]
    elif kind == "BPE" and own.get("byte_fallback") and not own.get("end_of_word_suffix"):
        pieces = scored_pieces(own)
        unknown = own["vocab"][own["unk_token"]]
    else:
        raise CannotExpress(f"{file} is neither a unigram model nor byte pairs of SentencePiece")
    model = Model()
    model.trainer_spec.model_type = 1 if kind == "Unigram" else 2
    model.trainer_spec.byte_fallback = bool(own.get("byte_fallback", False))
    model.normalizer_spec.precompiled_charsmap = charsmap_of(whole.get("normalizer"), file)
    # A unigram model of `tokenizers` was one with SentencePiece's defaults; byte pairs with bytes are Gemma's, which keeps white space.
    model.normalizer_spec.add_dummy_prefix = model.normalizer_spec.remove_extra_whitespaces = kind == "Unigram"
    types = {token["id"]: 3 if token["special"] else 4 for token in added}
    for number, (piece, score) in enumerate(pieces):
        is_byte = own.get("byte_fallback") and len(piece) == 6 and piece.startswith("<0x")
        found = 2 if number == unknown else 6 if is_byte else types.get(number, 1)
        model.pieces.add(piece=piece, score=score, type=found)
    return model


def scored_pieces(own: dict[str, Any]) -> list[tuple[str, float]]:
    """Pieces in the order of their ids: the sooner a merge makes one, the higher is its score."""
    ids: dict[str, int] = own["vocab"]
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(own["merges"]):
        left, right = merge if isinstance(merge, list) else merge.split(" ")
        ranks.setdefault(left + right, rank)
    last = len(own["merges"])
    pieces = sorted(ids, key=lambda piece: ids[piece])
    return [(piece, -float(ranks.get(piece, last + number))) for number, piece in enumerate(pieces)]


def charsmap_of(normalizer: dict[str, Any] | None, file: Path) -> bytes:
    """The compiled rules in a normaliser; empty where it has none."""
    steps = [normalizer] if normalizer else []
    found = b""
    while steps:
        step = steps.pop(0)
        if step["type"] == "Sequence":
            steps += step["normalizers"]
        elif step["type"] == "Precompiled":
            found = base64.b64decode(step["precompiled_charsmap"])
        elif step["type"] not in ("Replace", "Strip", "Prepend", "Lowercase"):
            raise CannotExpress(f"{file} normalises with {step['type']}, which SentencePiece has not")
    return found
