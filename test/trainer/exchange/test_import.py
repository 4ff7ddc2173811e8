"""Published layouts with tiny random weights, made by their own libraries: imported, they give the libraries' vectors."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import CLIPImageProcessor, CLIPProcessor

from contracts.constants import EXIT_INTERRUPTED, EXIT_USAGE
from edge_clip import load
from exchange.__main__ import main
from exchange.incoming.read import read_checkpoint
from exchange.pictures import transformers_preprocessing
from exchange.refusal import CannotExpress
from published_clip import clip_files, clip_tokenizer, image_vectors, text_vectors, write_clip
from support import TINY_VISION, tiny_clip
from towers.clip_bpe import ClipBpe
from warm import ROOT, STAGE_ENV, warm_python

PHOTOS = ROOT / "api" / "playground" / "samples"
TEXTS = ["a dog runs", "A  MAN and two dogs, 27 of them!", "Ünïcode 犬 👍🏽", "two dogs and a man . " * 60]


@pytest.fixture
def take_in(tmp_path, monkeypatch, capsys):
    """The command, in this process: exit code, the folder, and what it said."""

    def run(source: Path, *more: str) -> tuple[int, Path, str]:
        to = tmp_path / "model"
        argv = [
            "exchange",
            "import",
            str(source),
            "--name",
            "taken",
            "--to",
            str(to),
            "--photos",
            str(PHOTOS),
            "--json",
        ]
        monkeypatch.setattr(sys, "argv", [*argv, *more])
        code = main()
        said = capsys.readouterr()
        return code, to, json.loads(said.out)["refused"] if code == EXIT_USAGE else said.out

    return run


def cosines(a: Any, b: Any) -> np.ndarray:
    """Of rows."""
    return (np.asarray(a) * np.asarray(b)).sum(1)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """transformers' layout of a tiny CLIP, and transformers' model of it."""
    folder = tmp_path_factory.mktemp("clip")
    return folder, write_clip(folder)


def test_a_clip_of_transformers_is_served_with_the_librarys_vectors(published, take_in):
    folder, model = published
    code, to, said = take_in(folder, "--licence", "MIT")
    assert code == 0, said
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8))
    served = load(to, device="cpu")
    assert served.tiers == ["student"]
    texts = text_vectors(model, TEXTS)
    checkpoint = read_checkpoint(folder)
    floats = [checkpoint.text.embed(row).numpy() for row in checkpoint.tokenizer.encode(TEXTS, 77)]
    np.testing.assert_allclose(floats, texts, atol=1e-5)
    found = served.embed(TEXTS, [picture])
    assert cosines(found.texts, texts).min() > 0.99  # int8
    images = image_vectors(model, torch.from_numpy(pixels_of(picture, to)))
    assert cosines(found.images, images).min() > 0.9999
    manifest = json.loads((to / "manifest.json").read_text())
    assert manifest["calibration"]["text_image"]["scale"] == pytest.approx(model.logit_scale.exp().item())
    assert manifest["quantisation"]["bits"] == "rotated"
    assert manifest["lineage"]["parents"] == [{"name": "taken", "source": folder.name, "licence": "MIT"}]
    metrics = json.loads(said)["metrics"]
    assert metrics["parity.image.worst"] > 0.9999
    assert (metrics["text.table_mib"], metrics["text.weights_mib"]) == (1.5, 0.0)
    assert metrics["text.isolate_mib"] == pytest.approx(61 + 1.5, abs=0.6)  # what is there without it, and the table


def test_what_was_imported_goes_out_again_with_equal_vectors(published, take_in, tmp_path, monkeypatch, capsys):
    from transformers import AutoTokenizer, CLIPTextModelWithProjection

    folder, _ = published
    _, model, _ = take_in(folder)
    served = load(model, device="cpu")

    def export(layout: str) -> Path:
        out = tmp_path / layout
        monkeypatch.setattr(sys, "argv", ["exchange", "export", str(model), "--format", layout, "--to", str(out)])
        assert main() == 0, capsys.readouterr().err
        return out

    hf, graphs, tensors = (export(layout) for layout in ("hf", "onnx", "safetensors"))
    tokenizer: Any = AutoTokenizer.from_pretrained(hf)
    inputs = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    theirs: Any = CLIPTextModelWithProjection.from_pretrained(hf)
    with torch.no_grad():
        vectors = F.normalize(theirs(**inputs).text_embeds, dim=-1).numpy()
    assert cosines(vectors, served.embed(TEXTS).texts).min() > 0.99  # the server rounds activations
    floats = onnxruntime.InferenceSession(graphs / "student" / "model.onnx")
    feed = {name: value.numpy() for name, value in inputs.items()}
    np.testing.assert_allclose(np.asarray(floats.run(None, feed)[0]), vectors, atol=1e-4)
    whole = onnxruntime.InferenceSession(graphs / "student" / "model_int8.onnx")
    for text in TEXTS:
        one = tokenizer([text], truncation=True, return_tensors="np")
        np.testing.assert_allclose(np.asarray(whole.run(None, dict(one))[0]), served.embed([text]).texts, atol=1e-5)
    assert load_file(tensors / "model.safetensors")["text.student.projection.weight"].shape == (24, 32)
    assert (graphs / "image" / "model.onnx").read_bytes() == (model / "image.onnx").read_bytes()


def pixels_of(picture: Image.Image, folder: Path) -> np.ndarray:
    """What the model's own preprocessing makes of a picture."""
    from towers.preprocess import preprocess

    return preprocess(picture, json.loads((folder / "manifest.json").read_text())["image"]["preprocess"])[None]


@pytest.mark.parametrize("kind", ["causal", "every token sees the padding"])
def test_a_folder_of_open_clip_is_served_with_the_librarys_vectors(kind, tmp_path, take_in):
    name = tiny_clip(tmp_path / "clip", TINY_VISION, embed_dim=16)
    folder = tmp_path / "clip"
    if kind != "causal":
        config = json.loads((folder / "open_clip_config.json").read_text())
        config["model_cfg"]["text_cfg"]["no_causal_mask"] = True
        config["model_cfg"]["custom_text"] = True
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        model = open_clip.create_model(name.removeprefix("open_clip:"), load_weights=False)
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    model: Any = open_clip.create_model(name.removeprefix("open_clip:")).eval()
    code, to, said = take_in(folder)
    assert code == 0, said
    ids = open_clip.get_tokenizer("ViT-B-32", context_length=24)(TEXTS)
    with torch.no_grad():
        texts = F.normalize(model.encode_text(ids), dim=-1)
    checkpoint = read_checkpoint(folder)
    floats = [checkpoint.text.embed(row).numpy() for row in checkpoint.tokenizer.encode(TEXTS, 24)]
    np.testing.assert_allclose(floats, texts, atol=1e-5)
    assert cosines(load(to, device="cpu").embed(TEXTS).texts, texts).min() > 0.99


def test_a_file_of_weights_needs_the_name_of_its_architecture(tmp_path, take_in):
    file = tmp_path / "weights.pt"
    torch.save({"anything": torch.zeros(1)}, file)
    code, to, said = take_in(file)
    assert (code, to.exists()) == (2, False)
    assert "weights.pt holds weights alone: name its architecture" in said


def test_what_cannot_be_served_is_refused_by_its_part_or_number(tmp_path, take_in, published):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"model_type": "blip"}))
    assert (
        "holds a model of type blip: of transformers' layouts clip, siglip, siglip2 are imported" in take_in(other)[2]
    )
    assert "is no file of weights and no folder" in take_in(tmp_path / "nowhere")[2]
    # The text tower of OpenAI's B/32.
    from exchange.incoming.clip_text import ClipTextShape
    from exchange.incoming.isolate import check_isolate

    def shape(layers: int) -> ClipTextShape:
        return ClipTextShape(49408, 77, 512, 8, layers, 2048, 512, "quick_gelu", 1e-5, None)

    with pytest.raises(
        CannotExpress, match=r"a table of 24\.1 MiB and 37\.2 MiB of weights in int8.* 163 of the 128 MiB.*--distil"
    ):
        check_isolate(shape(12))
    check_isolate(shape(4))
    code, to, said = take_in(other_folder(published, tmp_path / "copy", without="preprocessor_config.json"))
    assert (code, to.exists()) == (2, False)
    assert "has no preprocessor_config.json" in said


def other_folder(published: tuple[Path, Any], to: Path, *, without: str) -> Path:
    """The published folder without one of its files."""
    to.mkdir()
    for file in published[0].iterdir():
        if file.name != without:
            (to / file.name).symlink_to(file)
    return to


def test_what_libraries_cannot_read_is_a_sentence_with_what_to_do(tmp_path, take_in, published):
    weights = load_file(published[0] / "model.safetensors")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 600000000\n"
    shards = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(weights, "model-00001-of-00001.safetensors")}
    files: dict[str, tuple[str, bytes]] = {
        "is a pointer of Git LFS: `git lfs pull` fetches the file": ("model.safetensors", pointer),
        "model-00001-of-00001.safetensors": ("model.safetensors.index.json", json.dumps(shards).encode()),
        "cannot be read: ": ("pytorch_model.bin", b"no weights"),
        "no file named": ("notes.txt", b"nothing but a configuration"),
    }
    for number, (sentence, (name, content)) in enumerate(files.items()):
        folder = other_folder(published, tmp_path / str(number), without="model.safetensors")
        (folder / name).write_bytes(content)
        code, to, said = take_in(folder)
        assert (code, to.exists(), len(said.splitlines())) == (2, False, 1), said
        assert sentence in said and str(folder) in said
    incomplete = other_folder(published, tmp_path / "incomplete", without="model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if not name.startswith("text_")},
        incomplete / "model.safetensors",
        {"format": "pt"},
    )
    assert "tensors of its architecture, such as text_model." in take_in(incomplete)[2]


def test_files_beside_the_weights_that_are_cut_short_or_no_settings_are_named(tmp_path, take_in, published):
    merges = (published[0] / "merges.txt").read_text(encoding="utf-8")
    whole_lines = merges[: merges.index("\n", len(merges) // 2) + 1]
    files = {
        "no merge in {} makes ": ("merges.txt", whole_lines),
        "merges.txt is cut short": ("merges.txt", ""),
        "preprocessor_config.json is not JSON": ("preprocessor_config.json", '{"size":'),
        "preprocessor_config.json holds no settings": ("preprocessor_config.json", "[]"),
        "has no image_mean and no image_std": ("preprocessor_config.json", '{"size": 32, "crop_size": 32}'),
    }
    for number, (sentence, (name, content)) in enumerate(files.items()):
        folder = other_folder(published, tmp_path / str(number), without=name)
        (folder / name).write_text(content, encoding="utf-8")
        code, to, said = take_in(folder)
        assert (code, to.exists(), len(said.splitlines())) == (2, False, 1), said
        assert sentence.format(folder) in said


def test_an_architecture_is_named_as_open_clip_does_and_with_the_activation_that_its_weights_learned(tmp_path, take_in):
    file = tmp_path / "ViT-B-32.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(file)
    code, _, said = take_in(file, "--architecture", "ViT-B32")
    assert code == 2 and "--architecture ViT-B32: open_clip knows none of that name: there are ViT-B-32" in said
    code, _, said = take_in(file, "--architecture", "ViT-B-32")
    assert (code, said) == (
        2,
        "ViT-B-32.pt learned with QuickGELU, and that architecture computes GELU: import it with --architecture ViT-B-32-quickgelu",
    )


def test_a_processor_saved_as_a_whole_says_how_pictures_are_prepared(tmp_path, published):
    folder = other_folder(published, tmp_path / "whole", without="preprocessor_config.json")
    image_processor = CLIPImageProcessor.from_pretrained(published[0])
    CLIPProcessor(image_processor, clip_tokenizer()).save_pretrained(tmp_path / "processor")
    assert not (tmp_path / "processor" / "preprocessor_config.json").exists()
    (folder / "processor_config.json").symlink_to(tmp_path / "processor" / "processor_config.json")
    assert transformers_preprocessing(folder) == transformers_preprocessing(published[0])
    settings = json.loads((published[0] / "preprocessor_config.json").read_text())
    for change in ({"do_normalize": False}, {"rescale_factor": 1 / 127.5}):
        other = tmp_path / next(iter(change))
        other.mkdir()
        (other / "preprocessor_config.json").write_text(json.dumps(settings | change))
        with pytest.raises(CannotExpress, match="served are pixels from 0 to 1, resized and normalised"):
            transformers_preprocessing(other)


def test_one_that_is_stopped_leaves_nothing_behind(tmp_path, published):
    argv = [warm_python(), "-m", "exchange", "import", str(published[0]), "--name", "stopped"]
    argv += ["--to", str(tmp_path / "model"), "--photos", str(PHOTOS)]
    running = subprocess.Popen(argv, env=STAGE_ENV, cwd=ROOT / "trainer")
    while not list(tmp_path.iterdir()):
        assert running.poll() is None
        time.sleep(0.01)
    running.terminate()
    assert (running.wait(120), list(tmp_path.iterdir())) == (EXIT_INTERRUPTED, [])


def test_linear_memory_is_what_the_engine_has_for_the_embedded_towers():
    from exchange.incoming.isolate import EngineShape
    from towers.student.model import StudentShape

    def linear(layers: int, table_width: int | None) -> float:
        shape = StudentShape(24576, layers, 384, 12, 512, 512, table_width=table_width)
        return EngineShape.of_student(shape).linear_bytes() / 2**20

    # `memoryBytes` of both, measured in test/api/text/wasm/engine.test.ts.
    assert (linear(6, None), linear(2, 112)) == (16.0, 9.125)


def test_the_tokenizer_is_the_librarys_and_takes_special_names_for_text(tmp_path):
    ids, merges = clip_files()
    pairs = [(left, right) for left, right in (line.split(" ") for line in merges)]
    ClipBpe(list(ids), pairs).write(tmp_path)
    found = ClipBpe.read(tmp_path / "vocabulary.txt", tmp_path / "merges.txt")
    cases = json.loads((ROOT / "contracts/vectors/tokenizer/nasty.json").read_text())["cases"]
    texts = [case["text"] for case in cases] + ["a <|endoftext|>! b", "<|startoftext|>", "DON'T we'll"]
    assert found.encode(texts, 10**6) == clip_tokenizer(split_special_tokens=True)(texts)["input_ids"]
    assert found.encode(["a dog \ud83d", "\udc15 \ud83d\udc15"], 77) == found.encode(
        ["a dog \ufffd", "\ufffd \U0001f415"], 77
    )
