"""Stage `vocabulary`: `distill` finds what it would have made itself, to the last bit, whatever else of its settings changes."""

import itertools
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from support import interrupt_stage, run_stage, schedule, write_job
from towers.data import write_rows
from towers.student.start import init_static_table
from towers.student.texts import read_student_texts
from towers.student.vocabulary import read_vocabulary
from towers.two_towers import Adapter
from towers.wordpiece import SPECIAL_TOKENS, train_vocabulary
from warm import STAGE_ENV

LLM_WIDTH, EMBED_DIM = 24, 16
SETTINGS = {"vocabulary_size": 330, "alphabet": 50, "fallback": "bytes"}
FIRST_TIER = {"layers": 2, "width": 32, "heads": 4, "table_width": 24, "initial_weights": "tiny_bert"}
CAPTIONS = {
    f"i{number}": [f"a {colour} {thing} on the {place} .", f"there is a {colour} {thing}"]
    for number, (colour, thing, place) in enumerate(
        (colour, thing, place)
        for colour in ("red", "green", "blue")
        for thing in ("dog", "child", "bicycle")
        for place in ("beach", "street")
    )
}
NAMES = ("alone", "read", "projected", "others")
GERMAN = {key: f"Bild {number} mit einem Hund" for number, key in enumerate(CAPTIONS)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What prepare, embed_captions and clip leave of eighteen images; a package with a tiny BERT is on the path of stages."""
    folder = tmp_path_factory.mktemp("inputs")
    prepare, embed, clip = (folder / name for name in ("prepare", "embed_captions", "clip"))
    for made in (prepare, embed, clip):
        made.mkdir()
    torch.manual_seed(0)
    for split in ("train", "dev"):
        rows = [
            {"key": key, "captions": texts, "tr": {"de": [GERMAN[key]]} if split == "train" else {}}
            for key, texts in CAPTIONS.items()
        ]
        write_rows(prepare / f"pairs.{split}.jsonl", rows)
        texts = [{"id": row["key"], "text": text} for row in rows for text in row["captions"]]
        write_rows(embed / f"captions.pairs.{split}.jsonl", texts)
        features = torch.randn(len(texts), LLM_WIDTH, dtype=torch.bfloat16)
        save_file({"features": features}, embed / f"features.pairs.{split}.safetensors")
    shape = {
        "text_tower": "llm",
        "llm_width": LLM_WIDTH,
        "embed_dim": EMBED_DIM,
        "adapter": {"blocks": 1, "expansion": 2},
    }
    save_file(Adapter(LLM_WIDTH, EMBED_DIM, 1, 2).state_dict(), clip / "text_tower.safetensors")
    (clip / "clip.json").write_text(json.dumps(shape))
    write_bert(folder / "packages" / "tiny_bert")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STAGE_ENV, "PYTHONPATH", os.pathsep.join([STAGE_ENV["PYTHONPATH"], str(folder / "packages")]))
        yield {"prepare": prepare, "embed_captions": embed, "clip": clip}


def write_bert(package: Path):
    """A random BERT that knows some words and all letters, as a Python package carries one."""
    package.mkdir(parents=True)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocabulary = [*SPECIAL_TOKENS, "dog", "red", "beach", ".", *letters, *(f"##{letter}" for letter in letters)]
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=32,
    )  # fmt: skip
    bert = BertModel(config, add_pooling_layer=False)
    for parameter in bert.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    bert.save_pretrained(package)
    (package / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (package / "__init__.py").write_text("")


def drawing(**changes):
    """What decides which texts the first transformer's projection is fitted to."""
    mix = dict.fromkeys(
        ("captions_tr", "groups", "long", "translations", "fragments", "prompts", "concepts", "names"), 0
    )  # fmt: skip
    return {
        "context_length": 24, "negatives_weight": 0.1, "projection_texts": 40, "mix": mix | {"captions": 1},
        "noise": {"typing_errors": 0.2, "symbols": 0.2},
    } | changes  # fmt: skip


def distill_config(**changes):
    tier = FIRST_TIER | {"tier": "student", "static_weight": 1, "schedule": schedule(3)}
    return drawing() | {
        "matryoshka_dims": [16, 8], "contrastive_weight": 0.2, "temperature": 0.1, "image_weight": 0,
        "batch_tokens": 200, "tiers": [tier], "static": {"width": 8, "batch_size": 16, "schedule": schedule(3)},
    } | changes  # fmt: skip


@pytest.fixture(scope="module")
def vocabularies(folders, tmp_path_factory):
    """Folders of runs: pieces alone; as the first tier reads them; with the texts that `distill` draws, and with others."""
    made = tmp_path_factory.mktemp("vocabularies")
    read = SETTINGS | {"first_tier": FIRST_TIER}
    other = drawing(noise={"typing_errors": 0, "symbols": 0})
    runs = {
        "alone": SETTINGS,
        "read": read,
        "projected": read | {"projection": drawing()},
        "others": read | {"projection": other},
    }
    for name, config in runs.items():
        run_stage(write_job(made, "vocabulary", folders, config, name))
    return made


def test_students_start_from_the_same_bits_whoever_had_pieces_and_texts_read(folders, vocabularies, tmp_path):
    files = {name: {file.name for file in (vocabularies / name).glob("*.safetensors")} for name in NAMES}
    assert files["read"] - files["alone"] == {"states.safetensors"}
    assert files["projected"] - files["read"] == {"projection.safetensors"} == files["others"] - files["read"]
    for name in NAMES:
        inputs = folders | {"vocabulary": vocabularies / name}
        run_stage(write_job(tmp_path, "distill", inputs, distill_config(), name))
    for file, name in itertools.product(("static.safetensors", "student.safetensors"), NAMES):
        found, alone = (load_file(tmp_path / run / file) for run in (name, "alone"))
        assert all(torch.equal(found[key], alone[key]) for key in alone), (file, name)
    assert (tmp_path / "read" / "vocabulary.txt").read_text() == (vocabularies / "read" / "vocabulary.txt").read_text()


def test_the_texts_of_the_projection_are_not_read_again(folders, vocabularies, tmp_path):
    shutil.copytree(vocabularies / "projected", tmp_path / "vocabulary")
    file = tmp_path / "vocabulary" / "projection.safetensors"
    found = load_file(file)
    assert len(found["ends"]) == len(found["states"]) == 40
    save_file(found | {"states": found["states"].flip(0).contiguous()}, file)
    rows = {}
    for name, folder in (("stored", vocabularies / "projected"), ("changed", tmp_path / "vocabulary")):
        config = distill_config(static={"width": 16, "batch_size": 16, "schedule": schedule(1, lr=0.0)})
        run_stage(write_job(tmp_path, "distill", folders | {"vocabulary": folder}, config, name))
        rows[name] = load_file(tmp_path / name / "static.safetensors")["rows"]
    # The rows come from a projection that was fitted to other states now.
    assert not torch.allclose(rows["stored"], rows["changed"], atol=1e-3)


def test_the_pieces_and_tokens_are_those_of_the_texts(folders, vocabularies, tmp_path):
    texts = read_student_texts(folders["prepare"], folders["embed_captions"], tmp_path)
    found = read_vocabulary(vocabularies / "read", texts)
    assert set(found.tokens) == {"captions", "captions_tr"}
    for name, kind in texts.kinds.items():
        assert list(found.tokens[name]) == found.wordpiece.tokens(list(kind.texts))
    # Three parts captions to one of each other language, of as many characters as there are.
    captions = [text for rows in CAPTIONS.values() for text in rows]
    available = sum(map(len, [*captions, *GERMAN.values()]))
    drawn = take(captions, available * 3 / 4) + take(list(GERMAN.values()), available / 4)
    assert found.wordpiece.pieces == train_vocabulary(drawn, 330, 50, spells=True).pieces


def take(texts: list[str], characters: float) -> list[str]:
    """Texts from the first one on, and from the start again, until there are so many characters and ends of lines."""
    taken: list[str] = []
    while characters > 0:
        taken.append(texts[len(taken) % len(texts)])
        characters -= len(taken[-1]) + 1
    return taken


def test_a_stopped_run_goes_on_with_what_it_has_made(folders, vocabularies, tmp_path):
    config = SETTINGS | {"first_tier": FIRST_TIER, "projection": drawing()}
    job = write_job(tmp_path, "vocabulary", folders, config)
    assert interrupt_stage(job, at_step=2) == 75
    made = (job.parent / "vocabulary.txt").stat().st_mtime_ns
    report = run_stage(job)
    assert (job.parent / "vocabulary.txt").stat().st_mtime_ns == made
    assert set(report["artefacts"]) == {
        "vocabulary.txt", "tokens.captions.safetensors", "tokens.captions_tr.safetensors", "states.safetensors",
        "projection.safetensors",
    }  # fmt: skip
    straight = json.loads((vocabularies / "projected" / "report.json").read_text())
    assert report["artefacts"] == straight["artefacts"] and report["metrics"] == straight["metrics"]


def test_other_texts_and_another_first_tier_are_refused(folders, vocabularies, tmp_path):
    texts = read_student_texts(folders["prepare"], folders["embed_captions"], tmp_path)
    texts.kinds["captions"] = texts.kinds["captions_tr"]
    with pytest.raises(ValueError, match="has not the tokens of these 18 texts of captions: run vocabulary again"):
        read_vocabulary(vocabularies / "read", texts)
    found = load_file(vocabularies / "read" / "states.safetensors")["states"]
    narrow = torch.nn.Linear(16, EMBED_DIM)
    with pytest.raises(ValueError, match="states of width 32, the first tier of distill has width 16: name the same"):
        init_static_table(narrow, found, {})
