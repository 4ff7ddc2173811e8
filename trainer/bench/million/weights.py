"""Writes tiny random weights in public layouts: `python -m bench.million.weights FOLDER CAPTIONS`, as a process of its own.

The process that watches memory loads no torch.
"""

import sys
from pathlib import Path

import torch

from bench.million.pairs import read_captions
from bench.small_models import byte_level_tokenizer, write_efficientnet, write_llama

LEARNED = 20_000  # captions that the tokenizer learns its pieces from
PIECES = 2000


def main() -> None:
    """A language model of one layer, and an image tower of five blocks."""
    folder, captions = Path(sys.argv[1]), Path(sys.argv[2])
    torch.manual_seed(0)
    tokenizer = byte_level_tokenizer(read_captions(captions, LEARNED), PIECES)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    write_llama(folder / "language_model", tokenizer, **shape, **heads, max_position_embeddings=256)
    write_efficientnet(folder / "tower")
    (folder / "written").touch()


if __name__ == "__main__":
    main()
