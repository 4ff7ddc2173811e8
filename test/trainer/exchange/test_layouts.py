"""Exported models, opened again by the library that a layout is for: its vectors are those of the float modules."""

import json
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn import functional as F

from contracts.constants import EXIT_USAGE
from edge_clip import load
from exchange.__main__ import main
from exchange.outgoing.tokenizer_files import write_json, write_tokenizer
from support import TINY_VISION, tiny_clip, write_tiered_model
from towers.adaptation.tiers import TextSide
from towers.exported_files import read_manifest
from towers.image.backbone import create_backbone
from towers.image.tower import ImageTower
from towers.preprocess import preprocess
from towers.student.files import save_static, save_student
from towers.two_towers import Adapter, save_towers
from towers.wordpiece import BYTES, MAX_WORD, UNK, WordPiece
from warm import ROOT

# Of the vocabulary; the last one is cut at the end of the context.
TEXTS = ["a dog runs", "A  MAN and two dogs.", "a", "two dogs and a man . " * 60]


@pytest.fixture(scope="module")
def tiered(tmp_path_factory):
    """A model of three tiers with random weights; the student's vectors are sums with the static tier's."""
    folder = tmp_path_factory.mktemp("tiered")
    write_tiered_model(folder)
    return folder


@pytest.fixture(scope="module")
def expected(tiered):
    """Vectors of the float modules with dequantised weights, by tier."""
    side = TextSide(tiered, read_manifest(tiered))
    found = side.fixed_vectors(side.tokens(TEXTS))
    # The static tier rounds nothing. It reads as many tokens as a transformer reads with its special ones.
    return {tier: vectors.numpy() for tier, vectors in found.items()} | {
        "static": load(tiered, device="cpu").embed(TEXTS, tier="static").texts
    }


@pytest.fixture
def export(tmp_path, monkeypatch, capsys):
    """The command, in this process: exit code, the folder, and what it said."""

    def run(folder: Path, layout: str, *more: str) -> tuple[int, Path, str]:
        to = tmp_path / layout
        argv = ["exchange", "export", str(folder), "--format", layout, "--to", str(to), "--json", *more]
        monkeypatch.setattr(sys, "argv", argv)
        code = main()
        said = capsys.readouterr()
        return code, to, json.loads(said.out)["refused"] if code == EXIT_USAGE else said.out

    return run


def test_sentence_transformers_opens_every_tier_that_it_can_express(tiered, expected, export):
    from sentence_transformers import SentenceTransformer

    code, out, said = export(tiered, "sentence-transformers", "--tier", "tiny,static")
    assert (code, json.loads(said)["written"]) == (0, ["tiny", "static"])
    for tier in ("tiny", "static"):
        opened = SentenceTransformer(str(out / tier), device="cpu")
        np.testing.assert_allclose(opened.encode(TEXTS), expected[tier], atol=1e-4, err_msg=tier)
        assert opened.get_sentence_embedding_dimension() == 64
    code, _, said = export(tiered, "sentence-transformers", "--tier", "tiny")
    assert (code, "is there already" in said) == (2, True)


def test_a_file_in_the_way_is_a_sentence(tiered, tmp_path, monkeypatch, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    to = tmp_path / "notes.txt" / "out"
    monkeypatch.setattr(sys, "argv", ["exchange", "export", str(tiered), "--format", "onnx", "--to", str(to)])
    code, said = main(), capsys.readouterr().err
    assert (code, said) == (1, f"{to.parent}: a file is where a folder is needed (EEXIST)\n")
    assert to.parent.read_text() == "mine"


def test_a_student_that_is_a_sum_is_refused_with_what_can_express_it_and_nothing_is_left(tiered, export):
    for layout in ("sentence-transformers", "hf"):
        code, out, said = export(tiered, layout)
        assert (code, out.exists(), list(out.parent.iterdir())) == (2, False, [])
        assert "the student tier adds the static tier's vector" in said
        assert "--format onnx and --format safetensors can, and --tier chooses" in said
    code, out, said = export(tiered, "open_clip")
    assert (code, out.exists()) == (2, False)
    assert "open_clip cannot build the text tower of tiered" in said
    code, _, said = export(tiered, "onnx", "--tier", "huge")
    assert (code, said) == (2, "--tier: tiered has no text tier huge, but student, tiny, static")


def test_transformers_reads_texts_as_the_server_does_and_a_special_tokens_name_is_text(tmp_path):
    from transformers import AutoTokenizer

    wordpiece = WordPiece.read(ROOT / "api" / "model" / "vocabulary.txt")
    write_tokenizer(tmp_path, wordpiece, 64)
    cases = json.loads((ROOT / "contracts/vectors/tokenizer/nasty.json").read_text())["cases"]
    texts = ["[CLS] dog [SEP] [MASK]", *(case["text"] for case in cases)]
    # As users open it: what is kept beside tokenizer.json counts, too.
    write_json(tmp_path / "config.json", {"model_type": "bert"})
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path)
    found, served = tokenizer(texts, truncation=True)["input_ids"], wordpiece.encode(texts, 64)
    # What has no piece, or is a word of more than 100 characters, is spelled by the server and [UNK] to transformers, which the
    # export says; all else is the same.
    spelling = {wordpiece.pieces.index(byte) for byte in BYTES}
    known = [
        number
        for number, (text, ids) in enumerate(zip(texts, served, strict=True))
        if not spelling & set(ids) and max(map(len, text.split()), default=0) <= MAX_WORD
    ]
    assert [found[number] for number in known] == [served[number] for number in known]
    assert all(UNK in ids for ids, own in zip(found, served, strict=True) if spelling & set(own))
    assert len(known) > 100


def test_transformers_opens_the_text_tier(tiered, expected, export):
    from transformers import AutoModel, AutoTokenizer

    code, out, _ = export(tiered, "hf", "--tier", "tiny")
    assert code == 0
    tokenizer: Any = AutoTokenizer.from_pretrained(out / "tiny")
    model: Any = AutoModel.from_pretrained(out / "tiny")
    assert type(model).__name__ == "BertModel"
    inputs = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    mask = inputs["attention_mask"][..., None].float()
    with torch.no_grad():
        states = model(**inputs).last_hidden_state
    projection = load_file(out / "tiny" / "projection.safetensors")
    pooled = (states * mask).sum(1) / mask.sum(1)
    vectors = F.normalize(pooled @ projection["weight"].T + projection["bias"], dim=-1)
    np.testing.assert_allclose(vectors.numpy(), expected["tiny"], atol=1e-4)
    assert "transformers wraps towers of timm, and this is none" in (out / "README.md").read_text()


def test_transformers_opens_the_image_tower_of_a_run_of_clip(tiered, export, tmp_path):
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    torch.manual_seed(0)
    tower = ImageTower(create_backbone("test_efficientnet", pretrained=False), 64).eval()
    clip = tmp_path / "clip-1"
    clip.mkdir()
    recipe = read_manifest(tiered)["image"]["preprocess"]
    shape = {"text_tower": "llm", "llm_width": 8, "embed_dim": 64, "adapter": {"blocks": 1, "expansion": 2},
             "backbone": {"name": "test_efficientnet"}, "preprocess": recipe}  # fmt: skip
    save_towers(clip, tower, Adapter(8, 64, 1, 2), cast(Any, shape))
    code, out, said = export(tiered, "hf", "--tier", "tiny", "--clip", str(clip))
    assert (code, json.loads(said)["written"]) == (0, ["tiny", "image"])
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 60, 3), np.uint8))
    pixels = torch.from_numpy(preprocess(picture, recipe))[None]
    model: Any = AutoModelForImageClassification.from_pretrained(out / "image")
    with torch.no_grad():
        np.testing.assert_allclose(F.normalize(model.eval()(pixels).logits, dim=-1), tower(pixels), atol=1e-4)
    processor: Any = AutoImageProcessor.from_pretrained(out / "image")
    theirs = processor(picture, return_tensors="pt")["pixel_values"]
    # One level of 255 is 0.0078 at a deviation of 0.5: their resize rounds once, Pillow's twice.
    assert (theirs - pixels).abs().max() < 0.02


def test_an_image_tower_that_transformers_does_not_wrap_leaves_the_text_tiers(tiered, export, tmp_path):
    tower = ImageTower(create_backbone(tiny_clip(tmp_path, TINY_VISION), pretrained=False), 64).eval()
    clip = tmp_path / "clip-1"
    clip.mkdir()
    recipe = read_manifest(tiered)["image"]["preprocess"]
    shape = {"text_tower": "llm", "llm_width": 8, "embed_dim": 64, "adapter": {"blocks": 1, "expansion": 2},
             "backbone": {"name": tiny_clip(tmp_path, TINY_VISION)}, "preprocess": recipe}  # fmt: skip
    save_towers(clip, tower, Adapter(8, 64, 1, 2), cast(Any, shape))
    code, out, said = export(tiered, "hf", "--tier", "tiny", "--clip", str(clip))
    assert (code, json.loads(said)["written"]) == (0, ["tiny"])
    assert "`--format onnx` writes it" in (out / "README.md").read_text()


def test_onnx_graphs_read_ids_and_pixels(tiered, expected, export):
    code, out, said = export(tiered, "onnx")
    assert (code, json.loads(said)["written"]) == (0, ["student", "tiny", "static", "image"])
    served = load(tiered, device="cpu", engine="onnxruntime")
    for tier in ("student", "tiny", "static"):
        tokenizer = Tokenizer.from_file(str(out / tier / "tokenizer.json"))
        floats = onnxruntime.InferenceSession(out / tier / "model.onnx")
        operators = {node.domain for node in onnx.load(str(out / tier / "model.onnx")).graph.node}
        assert operators <= {"", "ai.onnx"}, "a runtime without ONNX Runtime's own operators reads it"
        rows = [encoding.ids for encoding in tokenizer.encode_batch(TEXTS, add_special_tokens=tier != "static")]
        width = max(map(len, rows))
        ids_BT = np.array([row + [0] * (width - len(row)) for row in rows])
        feed = {"input_ids": ids_BT, "attention_mask": (np.arange(width) < np.array([[len(row)] for row in rows])) * 1}
        np.testing.assert_allclose(np.asarray(floats.run(None, feed)[0]), expected[tier], atol=1e-4, err_msg=tier)
        if tier == "static":
            continue
        whole = onnxruntime.InferenceSession(out / tier / "model_int8.onnx")
        for text, row in zip(TEXTS[:-1], rows, strict=False):
            one = {"input_ids": np.array([row]), "attention_mask": np.ones((1, len(row)), np.int64)}
            np.testing.assert_allclose(
                np.asarray(whole.run(None, one)[0])[0], served.embed([text], tier=tier).texts[0], atol=1e-5
            )
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 60, 3), np.uint8))
    image = onnxruntime.InferenceSession(out / "image" / "model.onnx")
    pixels = preprocess(picture, read_manifest(tiered)["image"]["preprocess"])[None]
    np.testing.assert_allclose(
        np.asarray(image.run(None, {"pixels": pixels})[0]), served.embed(images=[picture]).images, atol=1e-6
    )
    settings = json.loads((out / "image" / "preprocessor_config.json").read_text())
    assert (settings["size"], settings["do_center_crop"], settings["resample"]) == (
        {"height": 32, "width": 32},
        False,
        3,
    )


def test_safetensors_hold_what_pytorchs_own_layers_compute_the_same_vectors_with(tiered, expected, export):
    code, out, _ = export(tiered, "safetensors")
    assert code == 0
    tensors, about = load_file(out / "model.safetensors"), json.loads((out / "config.json").read_text())
    shape = about["text"]["tiny"]
    own = {name.removeprefix("text.tiny."): value for name, value in tensors.items() if name.startswith("text.tiny.")}
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    for number, text in enumerate(TEXTS):
        ids = torch.tensor(tokenizer.encode(text).ids)
        x = own["table.weight"][ids] @ own["widen.weight"].T + own["positions.weight"][: len(ids)]
        x = F.layer_norm(x, (shape["width"],), own["norm.weight"], own["norm.bias"], 1e-12)[None]
        for block in range(shape["layers"]):
            layer = torch.nn.TransformerEncoderLayer(
                shape["width"], shape["heads"], 4 * shape["width"], 0.0, "gelu", 1e-12, batch_first=True
            ).eval()
            names = {"qkv.weight": "self_attn.in_proj_weight", "qkv.bias": "self_attn.in_proj_bias", "out": "self_attn.out_proj",
                     "up": "linear1", "down": "linear2", "norm_attention": "norm1", "norm_feed_forward": "norm2"}  # fmt: skip
            state = {}
            for ours, theirs in names.items():
                for part in ("",) if "." in ours else (".weight", ".bias"):
                    state[theirs + part] = own[f"blocks.{block}.{ours}{part}"]
            layer.load_state_dict(state)
            with torch.no_grad():
                x = layer(x)
        vector = F.normalize(x.mean(1) @ own["projection.weight"].T + own["projection.bias"], dim=-1)[0]
        np.testing.assert_allclose(vector.detach().numpy(), expected["tiny"][number], atol=1e-4)
    assert tensors["text.static.rows"].shape == (len(own["table.weight"]), 16)
    assert sum(name.startswith("image.") for name in tensors) >= 2


def test_the_float_weights_of_the_training_run_are_taken_where_it_is_there(tiered, expected, export, tmp_path):
    from sentence_transformers import SentenceTransformer

    side = TextSide(tiered, read_manifest(tiered))
    run = tmp_path / "distill-1"
    run.mkdir()
    for tier, student in side.transformers.items():
        with torch.no_grad():
            student.projection.bias.add_(0.3)  # other weights than the served ones
        save_student(run, student, side.wordpiece, tier)
    save_static(run, side.static)
    code, out, said = export(tiered, "sentence-transformers", "--tier", "tiny", "--distill", str(run))
    assert (code, "float32 weights of the run of `distill`" in said) == (0, True)
    opened = SentenceTransformer(str(out / "tiny"), device="cpu")
    found = side.fixed_vectors(side.tokens(TEXTS))
    np.testing.assert_allclose(opened.encode(TEXTS), found["tiny"].numpy(), atol=1e-4)
    assert np.abs(opened.encode(TEXTS) - expected["tiny"]).max() > 0.01
