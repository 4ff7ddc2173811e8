"""The student's WordPiece as Hugging Face's `tokenizer.json`, with what transformers reads beside it."""

import json
from pathlib import Path

from tokenizers import Tokenizer, models, processors

from towers.wordpiece import CLS, MAX_WORD, SEP, WordPiece, bert_like

SPELLED = (
    "The server reads characters that its vocabulary lacks as bytes. WordPiece of `tokenizers` cannot: it reads the whole word as "
    "[UNK]. Vectors of texts with such characters (most of Chinese, emoji, rare symbols) are therefore others than the served ones."
)


def hf_tokenizer(wordpiece: WordPiece, context_length: int) -> Tokenizer:
    """[CLS] text [SEP], cut to `context_length`. No token is registered as special: "[CLS]" in a text is three words."""
    ids = {piece: number for number, piece in enumerate(wordpiece.pieces)}
    model = models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=MAX_WORD)
    tokenizer = bert_like(model, symbols_apart=wordpiece.spells)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    tokenizer.enable_truncation(max_length=context_length)
    return tokenizer


def write_tokenizer(folder: Path, wordpiece: WordPiece, context_length: int) -> None:
    """tokenizer.json and tokenizer_config.json."""
    hf_tokenizer(wordpiece, context_length).save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "model_input_names": ["input_ids", "attention_mask"],
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
        # As the server does: a special token's name in a text is text.
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", config)


def write_json(file: Path, document: object) -> None:
    """Indented, with a line end."""
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
