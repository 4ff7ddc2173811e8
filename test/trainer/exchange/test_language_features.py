"""`python -m exchange features`: a language model's vectors of captions, in the order in which `import --distil` reads them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from language.llm2vec import WRAPPER, encoded_by_the_authors
from published_llm2clip import write_language_model
from safetensors.torch import load_file
from torch.nn import functional as F

from exchange.__main__ import main
from exchange.incoming.llm2clip import check_features
from towers.text.published_adapter import PublishedAdapter
from warm import ROOT, warm_python

CAPTIONS = ["two blue squares beside the red circle", "a line", "two blue squares beside the red circle"]
ADAPTER = PublishedAdapter({}, 32, 24, 4, 2)


def features(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["exchange", "features", *(str(word) for word in words)])
    return main()


def test_they_are_those_of_its_authors_in_the_order_of_the_file(tmp_path, monkeypatch, capsys):
    model = write_language_model(tmp_path / "llama")
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
    plain = [*words, "--template", "{}"]
    assert features(monkeypatch, *plain) == 2
    assert "features.safetensors is there already" in capsys.readouterr().err
    out.unlink()
    assert features(monkeypatch, *plain) == 0
    assert F.cosine_similarity(load_file(out)["features"].float(), expected).min() < 0.99


@pytest.mark.parametrize(
    ("name", "message"),
    [("language-model", "there is no such folder"), ("captions", "there is no such file")],
)
def test_what_is_not_there_is_refused(tmp_path, monkeypatch, capsys, name, message):
    (tmp_path / "captions.txt").write_text("a dog\n", encoding="utf-8")
    there = {"language-model": tmp_path, "captions": tmp_path / "captions.txt"} | {name: tmp_path / "missing"}
    words = [word for flag, path in there.items() for word in (f"--{flag}", path)]
    assert features(monkeypatch, *words, "--template", "{}", "--to", tmp_path / "out.safetensors") == 2
    assert message in capsys.readouterr().err


def test_what_the_disk_forbids_is_no_refusal(tmp_path, monkeypatch, capsys):
    write_language_model(tmp_path / "llama")
    (tmp_path / "captions.txt").write_text("a dog\n", encoding="utf-8")
    words = ["--language-model", tmp_path / "llama", "--captions", tmp_path / "captions.txt", "--template", "{}"]
    assert features(monkeypatch, *words, "--to", tmp_path / "captions.txt/out.safetensors", "--json") == 1
    assert "captions.txt: a file is where a folder is needed" in json.loads(capsys.readouterr().out)["failed"]


def test_a_template_without_a_place_for_the_text_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "captions.txt").write_text("a dog\n", encoding="utf-8")
    words = [
        "--language-model",
        tmp_path,
        "--captions",
        tmp_path / "captions.txt",
        "--to",
        tmp_path / "out.safetensors",
    ]
    assert features(monkeypatch, *words, "--template", "a text") == 2
    assert "--template a text: the text stands at {}, once" in capsys.readouterr().err


def test_what_was_killed_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch, capsys):
    write_language_model(tmp_path / "llama")
    file, out = tmp_path / "captions.txt", tmp_path / "features.safetensors"
    # The first text comes again in the last part: a row is that of its text, not that of its place.
    texts = [f"{number} squares beside the circle, {'a line ' * (number % 40)}" for number in range(2400)]
    file.write_text("\n".join([*texts, texts[0]]), encoding="utf-8")
    words = ["--language-model", tmp_path / "llama", "--captions", file, "--template", WRAPPER]
    assert features(monkeypatch, *words, "--to", tmp_path / "whole.safetensors") == 0

    command = [warm_python(), "-m", "exchange", "features", *words, "--to", out]
    paths = f"{ROOT}/trainer{os.pathsep}{ROOT}/contracts/python"
    partial = tmp_path / "features.safetensors.partial"
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}) as process:
        while not list(partial.glob("*.safetensors")):
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert not out.exists()
    kept = {part: part.stat().st_mtime_ns for part in partial.glob("*.safetensors")}
    assert 0 < len(kept) < 3

    # A part that a crash cut short is computed again, and settings that nobody can read are those of nothing.
    again = tmp_path / "again.safetensors.partial"
    shutil.copytree(partial, again)
    first = again / next(iter(kept)).name
    first.write_bytes(first.read_bytes()[:-10])
    settings = (again / "settings.json").read_bytes()
    (again / "settings.json").write_bytes(settings[:20])
    assert features(monkeypatch, *words, "--to", tmp_path / "again.safetensors") == 2
    assert "was begun with another value of language_model, template" in capsys.readouterr().err
    (again / "settings.json").write_bytes(settings)
    assert features(monkeypatch, *words, "--to", tmp_path / "again.safetensors") == 0
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    capsys.readouterr()

    # With another wrapper its vectors would not belong together.
    other = [word if word is not WRAPPER else "{}" for word in words]
    assert features(monkeypatch, *other, "--to", out) == 2
    assert "was begun with another value of template" in capsys.readouterr().err
    assert {part: part.stat().st_mtime_ns for part in kept} == kept
    assert features(monkeypatch, *words, "--to", out) == 0
    assert f"{1024 * len(kept):,} of 2,400 texts are there from an earlier call" in capsys.readouterr().err
    assert out.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    rows = load_file(out)["features"]
    assert len(rows) == 2401
    assert rows[0].tolist() == rows[2400].tolist() != rows[2399].tolist()
    assert not partial.exists()
