"""open_clip's and transformers' models as they come, and the figures of open_clip's benchmark tool for the same model and data."""

import json
import shutil
import subprocess

import numpy as np
import open_clip
import pytest
import torch
from clip_benchmark.metrics import image_caption_selection, zeroshot_classification, zeroshot_retrieval
from damaged_pictures import DAMAGED
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score
from torch.nn import functional as F

from evaluation.layouts.choices import SUGAR_CREPE
from evaluation.layouts.files import WrongLayout
from evaluation.layouts.items import Labelled, Picture
from evaluation.open_model import NoModel, check_model, open_model
from evaluation.progress import Progress
from evaluation.streaming.encoder import Encoder, Settings
from evaluation.suites.command import finished, measure_model, outcomes_as_figures, read_suites
from evaluation.suites.zero_shot import zero_shot
from published_clip import image_vectors, text_vectors, write_clip
from published_siglip import write_siglip2
from support import TINY_VISION, tiny_clip
from towers.preprocess import by_shape
from warm import ROOT, STAGE_ENV, warm_python

WORDS = [
    "dog",
    "cat",
    "bird",
    "horse",
    "boat",
    "tree",
    "house",
    "car",
    "ball",
    "child",
    "red",
    "blue",
    "green",
    "small",
    "big",
    "old",
    "young",
    "wet",
]
NAMES = ["dog", "sailing boat", "red house", "tree", "old car", "ball", "child"]


@pytest.fixture(scope="module")
def name(tmp_path_factory):
    """A model of open_clip with random weights, in its own layout, whose towers tell inputs apart."""
    return tiny_clip(tmp_path_factory.mktemp("open_clip"), TINY_VISION)


@pytest.fixture(scope="module")
def library(name):
    """The same as the library opens it: model, transform of pictures, tokenizer."""
    model, _, transform = open_clip.create_model_and_transforms(name.removeprefix("open_clip:"))
    return model.eval(), transform, open_clip.get_tokenizer(name.removeprefix("open_clip:"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Flickr30k's layout: 24 noisy pictures of several sizes with three captions each."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("flickr30k")
    rows = []
    for number in range(24):
        coarse = rng.integers(0, 255, (3, 4, 3), dtype=np.uint8)
        side = (int(rng.integers(30, 90)), int(rng.integers(30, 90)))
        Image.fromarray(coarse).resize(side, Image.Resampling.BICUBIC).save(folder / f"{number}.png")
        captions = [" ".join(rng.choice(WORDS, rng.integers(2, 9))) for _ in range(3)]
        rows.append({"image": f"{number}.png", "caption": captions})
    (folder / "flickr30k_test.json").write_text(json.dumps(rows))
    return folder


def figures_of(model, suite, kept, dtype):
    settings = Settings(kept, dtype, images_at_once=5, texts_at_once=7, progress=Progress(quiet=True))
    given = read_suites([suite])
    return next(iter(outcomes_as_figures(finished(measure_model(model, given, settings, ()))).values()))["text"]


def batches(rows, size=5):
    """(pixels, captions of each) as the tool's loader gives them."""
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield torch.stack([pixels for pixels, _ in part]), [captions for _, captions in part]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_retrieval_is_what_open_clips_benchmark_tool_finds(name, library, folder, tmp_path, dtype):
    model, transform, tokenizer = library
    captions = json.loads((folder / "flickr30k_test.json").read_text())
    rows = [(transform(Image.open(folder / row["image"])), row["caption"]) for row in captions]
    expected = zeroshot_retrieval.evaluate(model, batches(rows), tokenizer, "cpu", amp=False, recall_k_list=[1, 5, 10])
    figures = figures_of(open_model(name), f"flickr30k={folder}", tmp_path, dtype)
    found = {
        f"{theirs}_retrieval_recall@{k}": figures[f"{ours}_R@{k}"]
        for theirs, ours in (("image", "text_to_image"), ("text", "image_to_text"))
        for k in (1, 5, 10)
    }
    assert found == pytest.approx(expected, abs=1e-6)
    # Neither nothing nor everything is found: the comparison says something.
    assert 0 < figures["mean_recall"] < 1


def test_zero_shot_is_what_open_clips_benchmark_tool_finds(name, library, folder, tmp_path):
    """Its logits, counted by scikit-learn: its own counting needs an older NumPy."""
    model, transform, tokenizer = library
    files = sorted(folder.glob("*.png"))
    classes = [number % len(NAMES) for number in range(len(files))]
    pixels = torch.stack([transform(Image.open(file)) for file in files])
    templates = [template("{c}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]
    classifier = zeroshot_classification.zero_shot_classifier(model, tokenizer, NAMES, templates, "cpu", amp=False)
    loader = [(pixels, torch.tensor(classes))]
    logits, target = zeroshot_classification.run_classification(model, classifier, loader, "cpu", amp=False)
    expected = {f"top{k}": top_k_accuracy_score(target, logits, k=k) for k in (1, 5)}
    expected["mean_per_class_recall"] = balanced_accuracy_score(target, logits.argmax(1))
    opened = open_model(name)
    encoder = Encoder(opened, opened.tiers["text"], Settings(tmp_path, "float32", progress=Progress(quiet=True)))
    figures = zero_shot(Labelled([Picture(file) for file in files], classes, NAMES), encoder).figures
    assert {figure: figures[figure] for figure in expected} == pytest.approx(expected, abs=1e-6)
    assert 0 < figures["top1"] < 1


def test_choices_are_what_open_clips_benchmark_tool_finds(name, library, folder, tmp_path):
    model, transform, tokenizer = library
    rng = np.random.default_rng(1)
    files = sorted(folder.glob("*.png"))
    rows = {}
    for kind in SUGAR_CREPE:
        cases = [[" ".join(rng.choice(WORDS, 4)) for _ in range(2)] for _ in files]
        rows[kind] = [(transform(Image.open(file)), case) for file, case in zip(files, cases, strict=True)]
        named = {
            str(number): {"filename": str(file), "caption": case[0], "negative_caption": case[1]}
            for number, (file, case) in enumerate(zip(files, cases, strict=True))
        }
        (tmp_path / f"{kind}.json").write_text(json.dumps(named))
    figures = figures_of(open_model(name), f"sugarcrepe={tmp_path}", tmp_path / "kept", "float32")
    for kind in SUGAR_CREPE:
        expected = image_caption_selection.evaluate(model, batches(rows[kind]), tokenizer, "cpu", amp=False)
        assert figures[kind] == pytest.approx(expected["text_acc"], abs=1e-6)
    assert 0 < figures["accuracy"] < 1


def test_a_folder_of_transformers_gives_the_librarys_vectors(folder, tmp_path):
    reference = write_clip(tmp_path / "clip")
    model = open_model(str(tmp_path / "clip"))
    texts = ["a dog", "two old cars by a tree", "x " * 100]
    assert np.allclose(model.tiers["text"].embed(texts), text_vectors(reference, texts), atol=1e-5)
    pixels = np.stack([model.pixels((folder / f"{number}.png").read_bytes()) for number in range(3)])
    assert np.allclose(model.embed_pixels(pixels), image_vectors(reference, torch.from_numpy(pixels)), atol=1e-5)
    figures = figures_of(model, f"flickr30k={folder}", tmp_path / "kept", "float16")
    assert figures["pictures"] == 24


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_picture_is_named(name, folder, tmp_path, data):
    write_clip(tmp_path / "clip")
    shutil.copytree(folder, tmp_path / "data")
    (tmp_path / "data/7.png").write_bytes(data)
    for model in (name, str(tmp_path / "clip")):
        with pytest.raises(WrongLayout, match=r"7\.png is no picture that can be read: the file is damaged"):
            figures_of(open_model(model), f"flickr30k={tmp_path / 'data'}", tmp_path / "kept", "float16")


def test_a_folder_whose_pictures_keep_their_shape_gives_the_librarys_vectors(tmp_path):
    from transformers import Siglip2ImageProcessor

    reference, _ = write_siglip2(tmp_path / "siglip2")
    model = open_model(str(tmp_path / "siglip2"))
    pictures = [Image.effect_noise(size, 60).convert("RGB") for size in ((90, 40), (40, 90), (64, 64), (90, 40))]
    inputs = Siglip2ImageProcessor.from_pretrained(tmp_path / "siglip2")(pictures, return_tensors="pt")
    with torch.no_grad():
        theirs = F.normalize(reference.get_image_features(**inputs).pooler_output, dim=-1).numpy()
    found = by_shape([model.pixels(picture) for picture in pictures], model.embed_pixels)
    assert np.allclose(found, theirs, atol=1e-5)


def test_weights_decide_a_models_space_and_not_their_place(name, tmp_path):
    first, again = open_model(name), open_model(name)
    assert (first.space, first.tiers["text"].key) == (again.space, again.tiers["text"].key)
    changed = tiny_clip(tmp_path, TINY_VISION)
    weights = load_file(tmp_path / "open_clip_model.safetensors")
    weights["visual.proj"] += 0.01
    save_file(weights, tmp_path / "open_clip_model.safetensors")
    other = open_model(changed)
    assert other.space != first.space
    assert other.tiers["text"].key != first.tiers["text"].key


def test_an_activation_and_a_tokenizer_without_weights_decide_it_too(name, tmp_path):
    """Vectors are kept by these keys: those of one model must not be taken for those of another."""
    folder = tmp_path / "quick"
    shutil.copytree(name.removeprefix("open_clip:local-dir:"), folder)
    settings = json.loads((folder / "open_clip_config.json").read_text())
    settings["model_cfg"]["quick_gelu"] = True
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    first, other = open_model(name), open_model(str(folder))
    assert other.space != first.space
    assert other.tiers["text"].key != first.tiers["text"].key

    write_clip(tmp_path / "clip")
    shutil.copytree(tmp_path / "clip", tmp_path / "merged")
    merges = tmp_path / "merged" / "merges.txt"
    merges.write_text("\n".join(merges.read_text().split("\n")[:1000]) + "\n")
    first, other = open_model(str(tmp_path / "clip")), open_model(str(tmp_path / "merged"))
    assert other.space == first.space
    assert other.tiers["text"].key != first.tiers["text"].key


def test_a_folder_without_all_tensors_is_refused_and_not_measured_at_random(tmp_path):
    write_clip(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if "text_projection" not in name},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(
        NoModel, match=r"lacks 1 tensors of its architecture, such as text_projection\.weight: they would be random"
    ):
        open_model(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(NoModel, match=r"model\.safetensors is a pointer of Git LFS: `git lfs pull` fetches the file"):
        open_model(str(tmp_path))


def test_what_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(
        NoModel, match=r"holds no manifest\.json and no clip\.json: name the folder of an exported model"
    ):
        check_model(str(tmp_path))
    check_model("open_clip:ViT-B-32@nothing")
    with pytest.raises(NoModel, match=r"open_clip:ViT-B-32 cannot be opened: .* names no weights"):
        open_model("open_clip:ViT-B-32")
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2}')
    with pytest.raises(NoModel):
        open_model(str(tmp_path))


def test_several_processes_find_what_one_finds(name, folder, tmp_path):
    def run(processes, kept):
        command = [
            "-m",
            "engine.launch",
            "--processes",
            str(processes),
            "--",
            "evaluation",
            name,
            f"--suite=flickr30k={folder}",
        ]
        options = ["--features=float32", f"--cache={tmp_path / kept}", "--json"]
        done = subprocess.run(
            [warm_python(), *command, *options],
            env=STAGE_ENV,
            cwd=ROOT / "trainer",
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    alone, both = run(1, "one"), run(2, "two")
    assert alone == both
    assert 0 < alone["suites"]["flickr30k"]["text"]["mean_recall"] < 1
    # A refusal of every process is told once, and nobody waits for anybody.
    refused = subprocess.run(
        [warm_python(), "-m", "engine.launch", "--processes", "2", "--", "evaluation", name, "--suite=flickr30k=nowhere"],
        env=STAGE_ENV, cwd=ROOT / "trainer", capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert refused.returncode == 2
    assert "the folder nowhere does not exist" in refused.stderr
