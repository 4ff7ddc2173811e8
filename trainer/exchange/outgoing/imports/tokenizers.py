"""transformers' tokenizers of imported models: each is asked for the ids of some texts before it is written."""

import tempfile
from pathlib import Path
from typing import Any

from exchange.incoming.vocabulary import Model
from exchange.refusal import CannotExpress
from towers.clip_bpe import END, START, ClipBpe
from towers.sentencepiece_text import SentencePiece, clean

PROBES = ("a photo of a dog", "Two MEN, 27 cats & naïve café!", "犬が雪の中を走る 👍🏽", "e-mail: a_b@c.org / d", "")
BYTE_PAIRS = 2  # SentencePiece's number of its kind of model
UNKNOWN, CONTROL, USER_DEFINED, BYTE = 2, 3, 4, 6  # SentencePiece's kinds of pieces


def clip_tokenizer(tokenizer: ClipBpe, context_length: int) -> Any:
    """CLIPTokenizer, which takes a special token's name in a text for text, as servers do."""
    from transformers import CLIPTokenizer

    ids = {piece: number for number, piece in enumerate(tokenizer.pieces)}
    return CLIPTokenizer(
        vocab=ids,
        merges=list(tokenizer.merges),  # pyright: ignore[reportArgumentType] - pairs, as the tokenizer takes them
        split_special_tokens=True,
        model_max_length=context_length,
        bos_token=START,
        eos_token=END,
    )


def write_siglip_tokenizer(
    folder: Path, tokenizer: SentencePiece, context_length: int, name: str, *, cleaned: bool = False
) -> None:
    """Write SiglipTokenizer of a vocabulary whose texts lose their punctuation, Siglip2Tokenizer of byte pairs whose texts are lowered.

    `cleaned`: a library cleans texts before it asks the tokenizer, as open_clip does. Raises CannotExpress where ids would be others.
    """
    model = Model.FromString(tokenizer.model)
    is_pairs = model.trainer_spec.model_type == BYTE_PAIRS and model.trainer_spec.byte_fallback
    library = (siglip2_of if is_pairs else siglip_of)(model, tokenizer, context_length)
    probes = [clean(text, tokenizer.cleaning) for text in PROBES] if cleaned else list(PROBES)
    theirs = library(probes, truncation=True, max_length=context_length)["input_ids"]
    if [list(row) for row in theirs] != tokenizer.encode(PROBES, context_length):
        raise CannotExpress(
            f"transformers has no tokenizer that reads texts as {name} does: --format safetensors has the vocabulary"
        )
    library.save_pretrained(folder)
    own = folder / "spiece.model"
    if own.is_file():
        own.write_bytes(tokenizer.model)  # the library changes what it has read; it would read that change again


def siglip_of(model: Any, tokenizer: SentencePiece, context_length: int) -> Any:
    """From the library's model file, which it writes again by itself."""
    from transformers import SiglipTokenizer

    end, pad, unknown = (model.pieces[number].piece for number in (tokenizer.end, tokenizer.pad, tokenizer.unknown))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spiece.model"
        file.write_bytes(tokenizer.model)
        return SiglipTokenizer(
            str(file), eos_token=end, pad_token=pad, unk_token=unknown, model_max_length=context_length
        )


def siglip2_of(model: Any, tokenizer: SentencePiece, context_length: int) -> Any:
    """From pieces and scores: a pair is merged the sooner, the better the score of what it makes."""
    from tokenizers import AddedToken
    from tokenizers.processors import TemplateProcessing
    from transformers import Siglip2Tokenizer

    pieces = {piece.piece: (number, piece.score, piece.type) for number, piece in enumerate(model.pieces)}
    merges: list[tuple[float, int, tuple[str, str]]] = []
    for piece, (number, score, kind) in pieces.items():
        if kind in (UNKNOWN, CONTROL, USER_DEFINED, BYTE):
            continue
        splits = ((piece[:at], piece[at:]) for at in range(1, len(piece)))
        merges += [(-score, number, pair) for pair in splits if pair[0] in pieces and pair[1] in pieces]
    end, pad = (model.pieces[number].piece for number in (tokenizer.end, tokenizer.pad))
    library: Any = Siglip2Tokenizer(
        vocab={piece: number for piece, (number, _, _) in pieces.items()},
        merges=[pair for _, _, pair in sorted(merges)],  # pyright: ignore[reportArgumentType] - pairs, as it takes them
        unk_token=model.pieces[tokenizer.unknown].piece,
        eos_token=end,
        pad_token=pad,
        padding_side="right",
        model_max_length=context_length,
    )
    own = [AddedToken(piece, normalized=False) for piece, (_, _, kind) in pieces.items() if kind == USER_DEFINED]
    library.add_tokens(own)
    library.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, tokenizer.end)]
    )
    return library
