"""Writes tiny random weights in public layouts: `python -m bench.million.weights FOLDER CAPTIONS`, as a process of its own.

The process that watches memory loads no torch.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import ByteLevelBPETokenizer

import towers  # noqa: F401 - makes torchvision importable beside a CPU build of torch
from bench.million.pairs import read_captions

LEARNED = 20_000  # captions that the tokenizer learns its pieces from
PIECES = 2000


def main() -> None:
    """A language model of one layer, and an image tower of five blocks."""
    folder, captions = Path(sys.argv[1]), Path(sys.argv[2])
    # After `towers`: both import torchvision.
    import timm
    from timm.models._hub import save_config_for_hf
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    pieces = ByteLevelBPETokenizer()
    pieces.train_from_iterator(read_captions(captions, LEARNED), vocab_size=PIECES, special_tokens=["<end>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=pieces._tokenizer, eos_token="<end>", pad_token="<end>", unk_token="<end>"
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "language_model")
    tokenizer.save_pretrained(folder / "language_model")
    tower = timm.create_model("test_efficientnet")
    (folder / "tower").mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.contiguous() for name, value in tower.state_dict().items()}, folder / "tower/model.safetensors"
    )
    save_config_for_hf(tower, str(folder / "tower" / "config.json"))
    (folder / "written").touch()


if __name__ == "__main__":
    main()
