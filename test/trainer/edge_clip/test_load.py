"""`load(…).embed(…)`: equal to the vectors that a manifest publishes, on every engine, from a folder, a registry and a wheel."""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from damaged_pictures import DAMAGED
from PIL import Image

from edge_clip import find_model, load
from engine.folders.temporary import SWEPT
from support import write_tiered_model
from towers.adaptation.tiers import TextSide
from towers.exported_files import read_manifest
from warm import COLD_PYTHON, ROOT, STAGE_ENV

EMBEDDED = ROOT / "api" / "model"
LONG = "two dogs and a man . " * 60  # cut at the context's end, and more than one run of 128 tokens


@pytest.fixture(scope="module")
def tiered(tmp_path_factory):
    """A model of three tiers with random weights; the student's vectors are sums with the static tier's."""
    folder = tmp_path_factory.mktemp("tiered")
    write_tiered_model(folder)
    return folder


def picture(seed: int) -> Image.Image:
    """Noise in a frame that is not square."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8))


def test_the_embedded_model_gives_the_vectors_that_its_manifest_publishes():
    model = load("edge-clip-small", device="cpu")
    golden = json.loads((EMBEDDED / "manifest.json").read_text())["golden"]
    for tier in model.tiers:
        rows = [row for row in golden if row["tier"] == tier]
        found = model.embed([row["text"] for row in rows], tier=tier).texts
        # Another processor sums in another order, and a rounding may fall the other way.
        np.testing.assert_allclose(found, [row["embedding"] for row in rows], atol=1e-4)


def test_texts_do_not_depend_on_their_neighbours_or_on_the_engine(tiered):
    texts = ["a dog runs", "dog\U0001f44d", LONG, "犬", "a man"]
    served, torch_like = load(tiered, device="cpu"), load(tiered, device="cpu", engine="torch")
    assert served.tiers == torch_like.tiers == ["student", "tiny", "static"]
    for tier in served.tiers:
        whole = served.embed(texts, tier=tier).texts
        # A rounding that falls the other way moves a value by a 255th of its range, no more.
        cosines = (torch_like.embed(texts, tier=tier, batch=5).texts * whole).sum(1)
        assert cosines.min() > 0.9999, tier
        np.testing.assert_allclose(served.embed(texts[::-1], tier=tier, batch=2).texts[::-1], whole, atol=1e-6)


def test_the_torch_engine_rounds_as_servers_do_and_float_layers_would_be_told_from_it():
    texts = ["a dog runs through the snow", "two children", "a man in a red jacket climbing a rock . " * 20]
    served = load(device="cpu").embed(texts).texts
    rounded = load(device="cpu", engine="torch").embed(texts).texts
    side = TextSide(EMBEDDED, read_manifest(EMBEDDED))
    floats = side.fixed_vectors(side.tokens(texts))["student"].numpy()
    assert (rounded * served).sum(1).min() > 0.9999
    assert (floats * served).sum(1).min() < 0.9998


@pytest.mark.parametrize(
    "text", ["\u200b", " \ufeff\u00ad", "\x00\x1b", "\u202e", "\u0301", "\ue000", "\ud800"], ids=ascii
)
@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_a_text_that_the_api_finds_nothing_in_is_refused_by_its_place(tiered, text, engine):
    model = load(tiered, device="cpu", engine=engine)
    for tier in model.tiers:
        with pytest.raises(ValueError, match=r"^texts\[1\] holds nothing to read"):
            model.embed(["a dog", text], tier=tier)
        assert model.embed(["!", "\U0001f44d", "\u72d7"], tier=tier).texts.shape[0] == 3


def test_the_data_uri_of_an_image_is_no_text(tiered):
    with pytest.raises(ValueError, match=r"^texts\[0\] is the data URI of an image"):
        load(tiered, device="cpu").embed([" data:image/png;base64,iVBORw0KGgo="])


def test_images_come_as_paths_bytes_and_pictures_and_both_engines_agree(tmp_path):
    pictures = [picture(0), picture(1)]
    pictures[0].save(tmp_path / "first.png")
    buffer = io.BytesIO()
    pictures[1].save(buffer, "PNG")
    model = load(device="cpu")
    known = model.embed(images=pictures).images
    assert known.shape == (2, model.embed_dim)
    mixed = model.embed(images=[tmp_path / "first.png", buffer.getvalue(), str(tmp_path / "first.png")], batch=2).images
    np.testing.assert_allclose(mixed, known[[0, 1, 0]], atol=1e-6)
    # The same graph by another library: float32 sums in another order.
    np.testing.assert_allclose(load(device="cpu", engine="torch").embed(images=pictures).images, known, atol=1e-4)


def test_vectors_are_cut_to_a_length_and_are_of_unit_length_again():
    model = load(device="cpu")
    texts, images = model.embed(["a dog"], [picture(0)]), model.embed(["a dog"], [picture(0)], dimensions=64)
    for whole, short in zip(texts, images, strict=True):
        np.testing.assert_allclose(short, whole[:, :64] / np.linalg.norm(whole[:, :64]), atol=1e-6)
    assert [side.shape for side in model.embed()] == [(0, 512), (0, 512)]


def publish(registry: Path, folder: Path, name: str) -> str:
    """Put a model into a registry in the published layout; returns the digest of its manifest."""

    def put(kind: str, data: bytes, suffix: str = "") -> str:
        digest = hashlib.sha256(data).hexdigest()
        file = registry / kind / "sha256" / f"{digest}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return digest

    for file in folder.iterdir():
        put("artefacts", file.read_bytes())
    digest = put("manifests", (folder / "manifest.json").read_bytes(), ".json")
    pointer = {"schema_version": 1, "name": name, "manifest": f"sha256:{digest}", "release": "sha256:" + "0" * 64,
               "moved_at": "2026-11-26T00:00:00Z"}  # fmt: skip
    (registry / "models" / name).mkdir(parents=True)
    (registry / "models" / name / "current.json").write_text(json.dumps(pointer))
    return digest


def test_a_name_is_found_in_a_registry_and_an_altered_file_is_refused(tiered, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    registry = tmp_path / "registry"
    digest = publish(registry, tiered, "tiered")
    expected = load(tiered, device="cpu").embed(["a dog"], tier="tiny").texts
    for place in (registry, registry.as_uri()):
        found = load("tiered", registry=place, device="cpu")
        np.testing.assert_array_equal(found.embed(["a dog"], tier="tiny").texts, expected)
    monkeypatch.setenv("MODEL_REGISTRY", str(registry))
    assert find_model("tiered") == tmp_path / "cache" / "edge-clip" / digest
    with pytest.raises(
        FileNotFoundError, match=r"nobody is no folder .* holds tiered, and this package carries edge-clip-small"
    ):
        load("nobody")
    vocabulary = hashlib.sha256((tiered / "vocabulary.txt").read_bytes()).hexdigest()
    file = registry / "artefacts" / "sha256" / vocabulary
    file.unlink()
    file.write_bytes(b"[PAD]\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    with pytest.raises(ValueError, match="was altered or cut short"):
        load("tiered")
    assert list((tmp_path / "another" / "edge-clip").iterdir()) == []


def test_what_is_missing_or_altered_in_the_cache_is_put_there_again(tiered, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    registry = tmp_path / "registry"
    publish(registry, tiered, "tiered")
    folder = find_model("tiered", registry)
    assert (tmp_path / "cache" / "edge-clip").stat().st_mode & 0o777 == 0o700
    whole = {file.name: file.read_bytes() for file in folder.iterdir()}
    for name in whole:
        for hole in (None, b"", whole[name][:-1] + b"?"):
            (folder / name).unlink()
            if hole is not None:
                (folder / name).write_bytes(hole)
            assert find_model("tiered", registry) == folder
            assert {file.name: file.read_bytes() for file in folder.iterdir()} == whole


SLOW = """
import sys, time
from edge_clip import find_model, locate
def link_or_copy(*_):
    print("begun", flush=True)
    time.sleep(600)
locate.link_or_copy = link_or_copy
find_model(sys.argv[1], sys.argv[2])
"""


def test_a_copy_that_was_killed_goes_with_the_next_one_and_one_under_way_stays(tiered, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    registry, cache = tmp_path / "registry", tmp_path / "cache" / "edge-clip"
    digest = publish(registry, tiered, "tiered")
    env = {**STAGE_ENV, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [COLD_PYTHON, "-c", SLOW, "tiered", str(registry)]
    copies = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        assert [cast(Any, copy.stdout).readline() for copy in copies] == [b"begun\n"] * 2
        dead, living = copies
        dead.kill()
        dead.wait()
        assert len(list(cache.iterdir())) == 2
        (cache / f"{digest}.1-1-00000000-00000000.tmp").mkdir()  # of another machine
        # Another process than that of this test, which may have looked here before.
        SWEPT.clear()
        find_model("tiered", registry)
        left = sorted(file.name.split("-")[0] for file in cache.iterdir())
        assert left == sorted([digest, f"{digest}.1", f"{digest}.{living.pid}"])
    finally:
        for copy in copies:
            copy.kill()
            copy.wait()


def test_a_folder_that_was_copied_badly_is_refused_by_its_file(tiered, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(tiered, copied)
    load(copied, device="cpu").embed(["a dog"])
    vocabulary = (copied / "vocabulary.txt").read_bytes()
    (copied / "vocabulary.txt").write_bytes(vocabulary[:-3])
    with pytest.raises(ValueError, match=r"copied/vocabulary\.txt is not what manifest\.json says"):
        load(copied)


def test_half_of_a_surrogate_pair_is_read_as_the_api_reads_it(tiered):
    model = load(tiered, device="cpu")
    for tier in model.tiers:
        broken, whole = (model.embed([text, "a dog"], tier=tier).texts for text in ("a dog \ud83d", "a dog \ufffd"))
        np.testing.assert_array_equal(broken, whole)


def test_what_cannot_be_embedded_is_refused_by_its_place(tiered, tmp_path):
    model = load(device="cpu")
    with pytest.raises(ValueError, match=r"texts\[1\] holds nothing to read"):
        model.embed(["a dog", " \n"])
    without_bytes = tmp_path / "without-bytes"
    shutil.copytree(tiered, without_bytes)
    vocabulary = (without_bytes / "vocabulary.txt").read_bytes()
    other = vocabulary.replace(b"<0x", b"[0x")
    (without_bytes / "vocabulary.txt").write_bytes(other)
    manifest = (without_bytes / "manifest.json").read_text()
    digests = [hashlib.sha256(data).hexdigest() for data in (vocabulary, other)]
    (without_bytes / "manifest.json").write_text(manifest.replace(*digests))
    with pytest.raises(ValueError, match=r"texts\[33\]: the tier static knows no part of '犬'"):
        load(without_bytes, device="cpu").embed(["a dog"] * 33 + ["犬"], tier="static")
    with pytest.raises(TypeError, match=r"write \[text\]"):
        model.embed("a dog")
    with pytest.raises(ValueError, match="no text tier huge, but student, tiny, static"):
        model.embed(["a dog"], tier="huge")
    with pytest.raises(ValueError, match="dimensions may be 1 to 512, not 513"):
        model.embed(["a dog"], dimensions=513)
    with pytest.raises(ValueError, match="batch may be 1 or more, not 0"):
        model.embed(["a dog"], batch=0)
    with pytest.raises(ValueError, match="engine may be onnxruntime or torch, not 'tensorflow'"):
        load(engine=cast(Any, "tensorflow"))
    with pytest.raises(ValueError, match="computes on the CPU here, not on meta"):
        load(device="meta", engine="onnxruntime")


def test_an_image_that_cannot_be_embedded_is_named_among_many(tiered, tmp_path):
    model = load(tiered, device="cpu")
    good, broken, cut = tmp_path / "good.png", tmp_path / "notes.jpg", tmp_path / "cut ü.png"
    picture(1).save(good)
    broken.write_text("no image")
    cut.write_bytes(good.read_bytes()[:2000])
    assert model.embed(images=[good, str(good)]).images.shape == (2, model.embed_dim)
    encoded = base64.b64encode(good.read_bytes()).decode()
    many: list[Any] = [good] * 40
    for image, error, sentence in [
        (tmp_path / "none.jpg", FileNotFoundError, r"images\[40\]: there is no file .*none\.jpg"),
        (tmp_path, FileNotFoundError, r"images\[40\]: there is no file"),
        ("https://example.com/a.jpg", ValueError, r"images\[40\]: https://example.com/a.jpg is a web address"),
        (broken, ValueError, r"images\[40\] \(.*notes\.jpg\) is no image, or in a format that cannot be read"),
        (str(cut), ValueError, r"images\[40\] \(.*cut ü\.png\) cannot be decoded: "),
        (b"", ValueError, r"images\[40\] is no image"),
        *((data, ValueError, r"images\[40\] cannot be decoded: the file is damaged") for data in DAMAGED.values()),
        (Image.open(io.BytesIO(DAMAGED["TypeError"])), ValueError, r"images\[40\] cannot be decoded: "),
        (encoded, FileNotFoundError, r"images\[40\]: there is no file iVBORw0KGgo.{,200}…"),
        (f"data:image/png;base64,{encoded}", ValueError, r"images\[40\] is a data URI: give the bytes in it"),
        ("\0", FileNotFoundError, r"images\[40\]: there is no file"),
        (Path(encoded), FileNotFoundError, r"images\[40\]: there is no file"),
        (bomb(good.read_bytes()), ValueError, r"images\[40\] cannot be decoded: Image size \(400000000 pixels\)"),
        (np.zeros((9, 9, 3), np.uint8), TypeError, r"images\[40\] is a ndarray: give a path.*Image\.fromarray"),
    ]:
        with pytest.raises(error, match=sentence):
            model.embed(images=[*many, image])
    with pytest.raises(TypeError, match=r"texts\[1\] is no text but None"):
        model.embed(["a dog", cast(Any, None)])


def bomb(png: bytes) -> bytes:
    """A PNG that says of itself that it is 20,000 pixels wide and high: chunk IHDR begins at byte 12."""
    header = png[12:16] + (20_000).to_bytes(4, "big") * 2 + png[24:29]
    return png[:12] + header + zlib.crc32(header).to_bytes(4, "big") + png[33:]


def test_the_wheel_carries_the_model_and_needs_nothing_of_the_repository(tmp_path):
    build = [
        "egg_info", "--egg-base", tmp_path, "build", "--build-base", tmp_path / "build",
        "bdist_wheel", "--dist-dir", tmp_path,
    ]  # fmt: skip
    code = "from setuptools import setup; setup()"
    subprocess.run([COLD_PYTHON, "-c", code, "-q", *build], cwd=ROOT / "trainer", check=True, capture_output=True)
    (wheel,) = tmp_path.glob("trainer-*.whl")
    installed = tmp_path / "installed"
    install = [
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--disable-pip-version-check",
        "--target",
        installed,
    ]
    subprocess.run([COLD_PYTHON, *install, wheel], check=True)
    code = "import edge_clip; print(edge_clip.__file__); print(edge_clip.load().embed(['a dog']).texts[0].tolist())"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [COLD_PYTHON, "-c", code], cwd=tmp_path, env=environment | {"PYTHONPATH": str(installed)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    where, vector = done.stdout.splitlines()
    assert Path(where).is_relative_to(installed)
    np.testing.assert_allclose(json.loads(vector), load(device="cpu").embed(["a dog"]).texts[0], atol=1e-6)
