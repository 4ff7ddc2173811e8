"""`python -m exchange features`: a language model's vectors of captions, in the order in which `import --distil` reads them."""

import json
import sys
from pathlib import Path

import pytest
import torch
from language.families import DECODERS, save_tokenizer
from language.llm2vec import WRAPPER, encoded_by_the_authors
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaModel

from exchange.__main__ import main
from exchange.incoming.llm2clip import check_features
from towers.text.published_adapter import PublishedAdapter

CAPTIONS = ["two blue squares beside the red circle", "a line", "two blue squares beside the red circle"]
ADAPTER = PublishedAdapter({}, 32, 24, 4, 2)


def write_teacher(folder: Path) -> LlamaModel:
    """LLM2CLIP's released language model in its layout, with random weights."""
    size = save_tokenizer(folder, has_pad=False, adds_bos=True)
    torch.manual_seed(0)
    model = LlamaModel(LlamaConfig(vocab_size=size, bos_token_id=1, eos_token_id=0, **DECODERS["llama3"].options))
    model.save_pretrained(folder)
    model.config.is_causal = False
    return model.eval()


def features(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["exchange", "features", *(str(word) for word in words)])
    return main()


def test_they_are_those_of_its_authors_in_the_order_of_the_file(tmp_path, monkeypatch, capsys):
    model = write_teacher(tmp_path / "llama")
    file, out = tmp_path / "captions.jsonl", tmp_path / "features.safetensors"
    file.write_text("".join(json.dumps({"caption": text}) + "\n" for text in CAPTIONS), encoding="utf-8")
    words = ["--language-model", tmp_path / "llama", "--captions", file, "--to", out]
    assert features(monkeypatch, *words, "--add-bos", "--template", WRAPPER) == 0
    assert "3 captions" in capsys.readouterr().out
    found = load_file(out)["features"].float()
    expected = F.normalize(encoded_by_the_authors(tmp_path / "llama", model, CAPTIONS, 512), dim=-1)
    assert F.cosine_similarity(found, expected).min() > 0.999
    assert found[0].tolist() == found[2].tolist() != found[1].tolist()
    check_features(out, ADAPTER)
    # What is there is not written over, and the wrapper matters.
    assert features(monkeypatch, *words) == 2
    assert "features.safetensors is there already" in capsys.readouterr().err
    out.unlink()
    assert features(monkeypatch, *words) == 0
    assert F.cosine_similarity(load_file(out)["features"].float(), expected).min() < 0.99


@pytest.mark.parametrize(
    ("name", "message"),
    [("language-model", "there is no such folder"), ("captions", "there is no such file")],
)
def test_what_is_not_there_is_refused(tmp_path, monkeypatch, capsys, name, message):
    (tmp_path / "captions.txt").write_text("a dog\n", encoding="utf-8")
    there = {"language-model": tmp_path, "captions": tmp_path / "captions.txt"} | {name: tmp_path / "missing"}
    words = [word for flag, path in there.items() for word in (f"--{flag}", path)]
    assert features(monkeypatch, *words, "--to", tmp_path / "out.safetensors") == 2
    assert message in capsys.readouterr().err
