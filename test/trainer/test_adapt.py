"""Learning from own images: weights come back as they are served, the space stays or is a new one, what breaks is named."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from contracts import load
from contracts.types import ModelManifest, OwnData
from engine.run import artefact
from losses.matrices import info_nce, multi_positive_nce
from support import interrupt_stage, run_stage, schedule, write_job, write_tiered_model
from tasks.adapt import Adapt
from towers.adaptation.losses import class_loss
from towers.adaptation.own_data import read_own
from towers.adaptation.texts import general_texts
from towers.adaptation.tiers import TextSide
from towers.adaptation.write_model import has_room, read_base
from towers.exported_files import artefacts_in
from towers.formats.item import FormatError
from towers.from_model import ImageGraph
from towers.onnx_export import export_image_tower, session
from towers.served_text import served_tiers

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 40, 220)}
TEXTS = ["a dog runs", "dog\U0001f44d", "\u72ac", "a man and a child"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A complete model of three tiers with random weights, one of which says as published ones do where they are packed."""
    folder = tmp_path_factory.mktemp("model")
    write_tiered_model(folder)
    (folder / "text.packed.bin").write_bytes(b"of the graph that this model has")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "image.names.safetensors").write_bytes(b"an imported tower, by its library's names")
    manifest["image"]["names"] = artefact(folder, "image.names.safetensors")
    manifest["text"] |= {"engine": "own", "packed": {"file": artefact(folder, "text.packed.bin"), "layout": 1}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Twelve pictures of each colour in a folder of its name, and two files that are no pictures."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        folder = root / "shop" / name
        folder.mkdir(parents=True)
        for number in range(12):
            pixels = np.clip(np.array(colour) + rng.integers(-30, 30, (40, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    (root / "shop" / "red" / "broken.jpg").write_bytes((root / "shop" / "red" / "0.png").read_bytes()[:60])
    (root / "shop" / "red" / "phone.heic").write_bytes(b"....ftypheic")
    return root


def own(path="shop", **changes) -> OwnData:
    names = ["dev_path", "classes", "further_captions", "image_column", "caption_columns", "class_column"]
    return cast(OwnData, {"path": path, "dev_share": 0.25, **dict.fromkeys(names), **changes})


def config(model: Path, **changes):
    settings = {
        "model": str(model), "name": "shop", "version": "1", "own": own(), "space": "keep", "text_start": "model",
        "image_fraction": 0.9, "crops": 1, "crop_scale": [0.5, 1.0], "batch_size": 12, "image_lr": 0.003,
        "static_lr": 0.02, "schedule": schedule(50, lr=0.01), "minutes": None, "general_texts": 32, "general_weight": 1.0,
    }  # fmt: skip
    return settings | changes


def manifest_of(folder: Path) -> ModelManifest:
    return cast(ModelManifest, load("ModelManifest", (folder / "manifest.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def kept(model, shop, tmp_path_factory):
    job = write_job(tmp_path_factory.mktemp("kept"), "adapt", {"data": shop}, config(model))
    return job.parent, run_stage(job)


def test_rebuilt_text_tiers_give_the_served_vectors(model):
    manifest = manifest_of(model)
    text = TextSide(model, manifest)
    rebuilt = text.fixed_vectors(text.tokens(TEXTS))
    for tier, embed in served_tiers(model, manifest).items():
        cosines = (embed(TEXTS) * rebuilt[tier].numpy()).sum(1)
        assert cosines.min() > 0.98, tier


@pytest.mark.parametrize("weights", ["float16", "int8"])
def test_an_image_graph_cut_anywhere_gives_the_served_vectors_and_takes_its_weights_back(tmp_path, weights):
    torch.manual_seed(0)
    tower = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6(), nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.ReLU6(), nn.Conv2d(8, 12, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 6), Unit(),
    )  # fmt: skip
    export_image_tower(tower, 16, tmp_path / "image.onnx", 18, weights)
    pixels = np.random.default_rng(0).standard_normal((3, 3, 16, 16)).astype(np.float32)
    served = session(tmp_path / "image.onnx").run(None, {"pixels": pixels})[0]
    graph = ImageGraph(tmp_path / "image.onnx")
    cuts = graph.cuts()
    assert len({cut.tensor for cut in cuts}) >= 5
    for cut in cuts:
        at = torch.from_numpy(np.asarray(graph.session([cut.tensor]).run(None, {"pixels": pixels})[0]))
        tail = graph.tail(cut)
        assert sum(parameter.numel() for parameter in tail.parameters()) == cut.weights
        np.testing.assert_allclose(tail(at).detach().numpy(), np.asarray(served), atol=1e-5)
    head = graph.choose(0.0, 10**6)
    assert head.weights == 6 * 12 + 6  # nothing but the linear map in front of the normalisation
    tail = graph.tail(head)
    with torch.no_grad():
        for parameter in tail.parameters():
            parameter.mul_(-1)
    tail.put_back(graph)
    graph.write(tmp_path / "turned.onnx")
    turned = session(tmp_path / "turned.onnx").run(None, {"pixels": pixels})[0]
    np.testing.assert_allclose(np.asarray(turned), -np.asarray(served), atol=1e-5)


def test_no_vector_of_the_image_tower_decays_and_its_head_has_a_rate_of_its_own(tmp_path):
    tower = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU6(),
        nn.Conv2d(4, 8, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 6),
        Unit(),
    )
    export_image_tower(tower, 16, tmp_path / "image.onnx", 18, "float16")
    graph = ImageGraph(tmp_path / "image.onnx")
    tail = graph.tail(max(graph.cuts(), key=lambda cut: cut.weights))
    settings = {"schedule": schedule(2) | {"weight_decay": 0.1}, "static_lr": 1.0, "image_lr": 0.5, "head_rate": 4.0}
    run = SimpleNamespace(config=settings, device="cpu")
    images, text = (
        SimpleNamespace(run=run, graph=graph, tail=tail),
        SimpleNamespace(transformers={}, static=nn.Module()),
    )
    task = Adapt(*cast(Any, (images, text, None, None)))
    found = {id(p): (each["lr"], each["weight_decay"]) for each in task.groups() for p in each["params"]}
    assert sorted((p.ndim, *found[id(p)]) for p in tail.parameters()) == [
        (1, 0.5, 0.0), (1, 2.0, 0.0), (2, 2.0, 0.1), (4, 0.5, 0.1),
    ]  # fmt: skip


class Unit(nn.Module):
    def forward(self, x):
        return F.normalize(x, dim=-1)


def test_a_model_whose_pictures_keep_their_shape_is_refused_before_it_learns(model, tmp_path):
    manifest = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
    manifest["image"]["preprocess"] |= {"resize_mode": "patches", "patch": 8, "crop": "none"}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ValueError, match=r"sees pictures in their own shape.* Start from a model with square pictures"):
        read_base(tmp_path, str(tmp_path))


def test_the_text_side_learns_and_the_space_stays(model, shop, kept):
    folder, report = kept
    metrics, before, after = report["metrics"], manifest_of(model), manifest_of(folder)
    assert after["space_id"] == before["space_id"]
    for name in ("image.onnx", "image.names.safetensors"):
        assert (folder / name).read_bytes() == (model / name).read_bytes()
    for tier in ("student", "tiny", "static"):
        assert metrics[f"{tier}.image_to_class_top1"] == 1, tier
        assert metrics[f"{tier}.image_to_class_top1.before"] < 1, tier
    assert (metrics["images.train"], metrics["images.dev"], metrics["images.left_out"]) == (27, 9, 2)
    notes = " ".join(report["notes"])
    assert "red/phone.heic: HEIC cannot be read here: save it as JPEG" in notes
    assert "red/broken.jpg: it cannot be decoded" in notes
    assert not list(folder.glob("*.npy")) and not list(folder.glob("*.pt"))


def test_the_new_model_is_whole_and_its_golden_vectors_are_what_is_served(model, kept):
    folder, report = kept
    manifest = manifest_of(folder)
    for file in artefacts_in(manifest):
        assert (folder / file["path"]).stat().st_size == file["size"]
    assert set(report["artefacts"]) >= {"manifest.json", "MODEL_CARD.md", "tiny.onnx", "static.projection.bin"}
    assert manifest.get("quantisation") == manifest_of(model).get(
        "quantisation"
    )  # vectors that are stored stay what they are
    assert not {"engine", "packed"} & set(manifest["text"])  # they were the graph's before it
    served = served_tiers(folder, manifest)
    for golden in manifest["golden"]:
        assert float(served[golden["tier"]]([golden["text"]])[0] @ np.array(golden["embedding"])) > 0.9999
    assert manifest["lineage"]["parents"][-1]["source"] == "own images"


def test_a_new_space_has_another_id_and_serves_what_was_measured(model, shop, tmp_path):
    job = write_job(tmp_path, "adapt", {"data": shop}, config(model, space="new", crops=0))
    report = run_stage(job)
    before, after = manifest_of(model), manifest_of(job.parent)
    assert after["space_id"] != before["space_id"]
    assert after.get("quantisation", {}).get("bits") == "rotated"
    assert "names" not in after["image"]  # their values are those before
    assert report["metrics"]["student.image_to_class_top1"] == 1
    assert "student.image_to_class_top5" not in report["metrics"]  # of three classes it says nothing
    pixels = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    old, new = (session(folder / "image.onnx").run(None, {"pixels": pixels})[0] for folder in (model, job.parent))
    assert float((np.asarray(old) * np.asarray(new)).sum()) < 0.9999


def test_figures_of_a_model_that_was_taught_own_images_before_say_so(model, shop, kept, tmp_path):
    said = "shop 1 was taught own images before (shop). Where images that are measured on now were among them, figures before and"
    job = write_job(tmp_path, "adapt", {"data": shop}, config(kept[0], schedule=schedule(2)))
    again = run_stage(job)
    assert any(note.startswith(said) for note in again["notes"])
    assert said in (job.parent / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert not any("was taught own images" in note for note in kept[1]["notes"])


def test_an_interrupted_adaptation_ends_as_without(model, shop, kept, tmp_path):
    job = write_job(tmp_path, "adapt", {"data": shop}, config(model))
    assert interrupt_stage(job, 42) == 75  # there are 38 files and 36 images: it is training by then
    run_stage(job)
    for name in ("text.weights.bin", "tiny.table.bin", "static.table.bin"):
        assert (job.parent / name).read_bytes() == (kept[0] / name).read_bytes(), name


def test_the_control_starts_from_random_weights_and_holds_nothing(model, shop, tmp_path):
    report = run_stage(write_job(tmp_path, "adapt", {"data": shop}, config(model, text_start="scratch")))
    assert report["metrics"]["student.image_to_class_top1"] > report["metrics"]["student.image_to_class_top1.before"]
    assert report["metrics"]["general.student.cosine"] < 0.5


def test_a_disk_that_cannot_hold_the_model_is_told_before_training(model, tmp_path, monkeypatch):
    base = read_base(tmp_path, str(model))
    has_room(tmp_path, base)
    size = sum(file.stat().st_size for file in model.iterdir() if file.name not in ("manifest.json", "text.packed.bin"))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=size // 2))
    with pytest.raises(
        SystemExit, match=r"MB are free on that disk and the model needs .* choose another disk with --runs"
    ):
        has_room(tmp_path, base)


def test_a_limit_of_minutes_takes_fewer_steps(model, shop, tmp_path):
    settings = config(model, minutes=0.01, schedule=schedule(100_000))
    report = run_stage(write_job(tmp_path, "adapt", {"data": shop}, settings))
    assert report["metrics"]["steps"] < 1000


def test_captions_are_measured_by_recall_both_ways(model, shop, tmp_path):
    rows = [
        {"image": f"shop/{name}/{number}.png", "caption": f"a {name} thing number {number}"}
        for name in COLOURS
        for number in range(12)
    ]
    (shop / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = config(model, own=own("rows.jsonl"), schedule=schedule(6))
    metrics = run_stage(write_job(tmp_path, "adapt", {"data": shop}, settings))["metrics"]
    assert 0 <= metrics["student.text_to_image_R@1"] <= metrics["student.text_to_image_R@5"] <= 1
    # Among nine images the first ten are all of them, whatever a model knows.
    assert metrics["images.dev"] == 9
    assert not any("R@10" in name for name in metrics)
    assert "student.image_to_text_R@1.before" in metrics


FOUR: dict[str, str | None] = {"a/1.png": "red", "a/2.png": "blue", "a/3.png": "green", "a/4.png": "black"}


@pytest.mark.parametrize(
    ("files", "changes", "sentence"),
    [
        ({"a/1.png": "red", "b/2.png": "blue"}, {}, "holds 2 usable images of 2, at least 4 are needed"),
        ({"a/1.png": None, "a/2.png": None}, {}, "a/1.png: it is no image"),
        ({"0/1.png": "red", "1/2.png": "blue"}, {}, "which say nothing: name a file that says what they are"),
        ({"1.0/1.png": "red", "2.0/2.png": "blue"}, {}, "are numbers .1.0, 2.0 …., which say nothing"),
        (
            {"a/1.png": "red"},
            {"classes": "classes.txt"},
            "a/1.png: its class 'a' is not in the file of classes .it has x, y",
        ),
        (
            dict.fromkeys(["a/1.png", "a/2.png"], "red"),
            {},
            "1 files are the same as others .* such as a/2.png and a/1.png",
        ),
        (FOUR, {}, "all 4 images are of one class, 'a', so that there is nothing to tell apart"),
        (FOUR | {"b/5.png": "white"}, {"class_column": "x"}, "has no columns that --image-column"),
        (
            FOUR | {"b/5.png": "white"},
            {"dev_path": "own"},
            "nothing of it can be measured on. Left out: a/1.png: it is the same",
        ),
        (FOUR | {"b/5.png": "white"}, {"further_captions": "classes.txt"}, "not JSON lines of {key, captions}"),
        (
            FOUR | {"b/5.png": "white"},
            {"further_captions": "of-others.jsonl"},
            "Its rows are of 9.png; images are called like a/1.png",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_refused_with_what_to_do(tmp_path, files, changes, sentence):
    for name, colour in files.items():
        file = tmp_path / "own" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if colour is None:
            file.write_bytes(b"no image")
        else:
            Image.new("RGB", (9, 9), colour).save(file)
    (tmp_path / "classes.txt").write_text("x\ny\n")
    (tmp_path / "of-others.jsonl").write_text('{"key": "9.png", "captions": ["x"]}\n')
    with pytest.raises(FormatError, match=sentence):
        read_own(tmp_path, own("own", **changes), 1)


def test_what_a_person_should_know_of_their_data_is_said(tmp_path):
    """Names that mean the same, a file in two classes, what is left out by its kind, and that a few images measure little."""
    for number, colour in enumerate(["red", "blue", "green", "black", "white"]):
        for name in ("Golden-Apple", "golden apple", "Pear") if number < 2 else ("Golden-Apple",):
            (tmp_path / "own" / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8 if name == "Pear" else 9, 9), colour).save(tmp_path / "own" / name / f"{number}.png")
    (tmp_path / "own" / "Pear" / "twice.png").write_bytes((tmp_path / "own" / "Golden-Apple" / "4.png").read_bytes())
    for number in range(8):
        (tmp_path / "own" / "Pear" / f"x{number}.jpg").write_bytes(b"no image")
    pictures = read_own(tmp_path, own("own", dev_share=0.2), 1)
    assert pictures.summary() == [
        f"{tmp_path / 'own'}: 3 folders are the classes of 18 images",
        "2 files are the same as others and count once with them, such as golden apple/0.png and Golden-Apple/0.png",
        "the classes 'Golden-Apple', 'golden apple' are one: their names mean the same",
        "measured on 1 images chosen of every class, which are not learned from",
        "7 images with 2 classes: 6 to learn from, 1 to measure on",
        "classes by their images: Golden Apple (5), Pear (2)",
        "1 images are few to measure on: one of them is 100 points of a figure",
        "9 left out: Pear/twice.png: it is the same file as Golden-Apple/4.png, which is of the class Golden Apple; "
        "Pear/x0.jpg: it is no image, or in a format that cannot be read (7 like it: Pear/x1.jpg, Pear/x2.jpg, Pear/x3.jpg, "
        "Pear/x4.jpg, Pear/x5.jpg and 2 more)",
    ]


def coloured(folder: Path, *names: str) -> None:
    """Different pictures under these names."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (number * 9, number, 255 - number)).save(folder / name)


def test_a_picture_of_more_pixels_than_servers_take_is_left_out(tmp_path):
    coloured(tmp_path / "own", *[f"{name}/{number}.png" for name in "ab" for number in range(3)])
    Image.new("L", (7100, 7100)).save(tmp_path / "own" / "a" / "huge.jpg")
    pictures = read_own(tmp_path, own("own"), 1)
    assert pictures.skipped == [
        ("a/huge.jpg", "it cannot be decoded (image is 7100 x 7100 pixels; at most 50000000 are allowed)")
    ]


def test_classes_that_are_measured_on_and_not_learned_from_are_named_with_their_images(tmp_path):
    learned = [f"train/{name}/{number}.png" for name in ("rose", "lily") for number in range(3)]
    coloured(tmp_path / "own", *learned, "val/rose/1.png", "val/iris/1.png", "val/iris/2.png", "val/fern/1.png")
    summary = read_own(tmp_path, own("own"), 1).summary()
    assert (
        "2 classes are measured on without an image to learn from: iris (2), fern (1). Of them only the name and descriptions are "
        "known, and figures count them" in summary
    )
    for name in ("iris", "fern"):
        (tmp_path / "own" / "train" / name).mkdir()
        Image.new("RGB", (9, 9), (ord(name[0]), 200, 0)).save(tmp_path / "own" / "train" / name / "5.png")
    assert not any("without an image" in line for line in read_own(tmp_path, own("own"), 1).summary())


def test_a_large_part_to_measure_on_leaves_every_class_an_image_to_learn_from(tmp_path):
    coloured(
        tmp_path / "own", *[f"{name}/{number}.png" for name in "abcd" for number in range(1 if name == "a" else 2)]
    )
    pictures = read_own(tmp_path, own("own", dev_share=0.9), 1)
    assert sorted(picture.key[0] for picture in pictures.train) == list("abcd")
    assert sorted(picture.key[0] for picture in pictures.dev) == list("bcd")


def test_what_data_keep_for_measuring_is_not_learned_from_where_others_are_measured_on(tmp_path):
    """Neither a part of the data that --dev names nor a table that names them again is refused, and a named test set is measured on."""
    for number, split in enumerate(["train"] * 4 + ["val"] * 2 + ["test"] * 2):
        file = tmp_path / "own" / split / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (number * 30, 0, 0)).save(file)
    rows = [f"own/test/{'ab'[number % 2]}/{number}.png,{'ab'[number % 2]},test\n" for number in (6, 7)]
    (tmp_path / "test.csv").write_text("".join(["image,label,split\n", *rows]))
    for named, measured in {"own/val": "45", "own": "45", "own/test": "67", "test.csv": "67"}.items():
        pictures = read_own(tmp_path, own("own", dev_path=named), 1)
        assert sorted(Path(picture.key).stem for picture in pictures.train) == list("0123")
        assert sorted(Path(picture.key).stem for picture in pictures.dev) == list(measured)
        assert (
            "own/val/a/4.png".removeprefix("own/"),
            "the data keep it for measuring, and --dev says what is measured on",
        ) in pictures.skipped


def test_equal_files_are_one_image_and_never_on_both_sides_of_the_split(tmp_path):
    for name in ("red", "blue"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (9, 9), (number // 2 * 40, 0, 200 if name == "blue" else 0)).save(
                tmp_path / "own" / name / f"{number}.png"
            )
    pictures = read_own(tmp_path, own("own", dev_share=0.5), 1)
    assert len(pictures.train) + len(pictures.dev) == 8
    assert {picture.label for picture in pictures.dev} == {0, 1}


def test_general_texts_are_of_the_vocabularys_words_and_the_same_for_the_same_seed():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##ing", "dog", "house", "!", "hund"]
    texts = general_texts(pieces, 20, 1)
    assert texts == general_texts(pieces, 20, 1)
    assert len(texts) == 20
    assert {"dog", "house", "hund"} <= set(" ".join(texts).replace(".", "").split())
    assert "ing" not in " ".join(texts)


def test_one_text_for_each_image_is_clips_loss_and_equal_texts_are_no_negatives():
    torch.manual_seed(0)
    a, b = F.normalize(torch.randn(5, 8), dim=-1), F.normalize(torch.randn(5, 8), dim=-1)
    own_pairs = torch.eye(5, dtype=torch.bool)
    scale = torch.tensor(7.0)
    assert multi_positive_nce(a, b, scale, own_pairs).item() == pytest.approx(info_nce(a, b, 7.0).item(), abs=1e-5)
    # Two texts that are right for both of two images: the best is half of the probability each.
    ones = F.normalize(torch.ones(2, 4), dim=-1)
    both = torch.ones(2, 2, dtype=torch.bool)
    assert multi_positive_nce(ones, ones, scale, both).item() == pytest.approx(np.log(2), abs=1e-5)


def test_a_smoothed_label_is_mostly_its_class_and_a_little_of_all():
    image_BE, class_CE = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    logits = [2.0, 0.0, -2.0]  # of a scale of 2
    log_sum = math.log(sum(map(math.exp, logits)))
    sharp, spread = log_sum - logits[0], log_sum - sum(logits) / 3
    loss = class_loss(image_BE, class_CE, torch.tensor(2.0), torch.tensor([0]), smoothing=0.1)
    assert loss.item() == pytest.approx(0.9 * sharp + 0.1 * spread, rel=1e-6)
    assert class_loss(image_BE, class_CE, torch.tensor(2.0), torch.tensor([0])).item() == pytest.approx(sharp, rel=1e-6)
