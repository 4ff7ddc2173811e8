"""SigLIP's layouts with tiny random weights: imported, they give their libraries' vectors, ids and scores."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from edge_clip import load
from exchange.calibrate import Images, calibrate
from exchange.incoming.read import read_checkpoint
from exchange.incoming.take_in import ImportOptions, import_into
from exchange.outgoing.imports.layouts import write
from exchange.outgoing.imports.read import read_imported, text_from_graph
from exchange.refusal import CannotExpress
from published_siglip import (
    CONTEXT,
    image_features,
    siglip_text_vectors,
    write_open_clip_siglip,
    write_siglip,
    write_siglip2,
)
from support import write_captioned_noise
from towers.preprocess import preprocess
from warm import ROOT

PHOTOS = ROOT / "api" / "playground" / "samples"
TEXTS = ["a dog runs", "A  MAN and two dogs, 27 of them!", "Ünïcode 犬 👍🏽", "two dogs and a man . " * 20]


@torch.no_grad()
def image_of(layout: str, model: Any, pixels: torch.Tensor) -> torch.Tensor:
    found = model.encode_image(pixels) if layout == "open_clip" else image_features(model, pixels)
    return F.normalize(found, dim=-1)


WRITERS = {"siglip": write_siglip, "siglip2": write_siglip2, "open_clip": write_open_clip_siglip}


@pytest.mark.parametrize("layout", WRITERS)
def test_a_siglip_is_served_with_the_librarys_vectors_and_scores(layout, tmp_path):
    folder = tmp_path / "published"
    model, tokenizer = WRITERS[layout](folder)
    if layout == "open_clip":
        ids = tokenizer(TEXTS)
        with torch.no_grad():
            texts = F.normalize(model.encode_text(ids), dim=-1)
    else:
        texts = siglip_text_vectors(model, tokenizer, TEXTS)
        ids = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt")[
            "input_ids"
        ]
    checkpoint = read_checkpoint(folder)
    rows = checkpoint.tokenizer.encode(TEXTS, CONTEXT)
    padding = checkpoint.text.shape.padding
    assert [row + [padding] * (CONTEXT - len(row)) for row in rows] == ids.tolist()
    np.testing.assert_allclose([checkpoint.text.embed(row).numpy() for row in rows], texts, atol=1e-5)
    manifest = import_into(folder, tmp_path / "model", ImportOptions("taken", "1", PHOTOS, layout, "MIT"))
    served = load(tmp_path / "model", device="cpu")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8))
    found = served.embed(TEXTS, [picture])
    assert (found.texts * texts.numpy()).sum(1).min() > 0.99  # int8
    pixels = torch.from_numpy(preprocess(picture, manifest["image"]["preprocess"]))[None]
    assert (found.images * image_of(layout, model, pixels).numpy()).sum() > 0.9999
    assert manifest["calibration"]["text_image"] == pytest.approx({"scale": np.exp(4.7), "bias": -16.5}, rel=1e-5)
    exported = import_out(tmp_path / "model", "safetensors", tmp_path / "tensors")
    assert exported.read_bytes() == (tmp_path / "model" / "sentencepiece.model").read_bytes()
    again = text_from_graph(tmp_path / "model", manifest)
    assert vars(again.shape) == vars(checkpoint.text.shape)
    assert (np.stack([again.embed(row).numpy() for row in rows]) * texts.numpy()).sum(1).min() > 0.99


def test_a_picture_keeps_its_shape_as_with_the_librarys_own_processor(tmp_path):
    from transformers import Siglip2ImageProcessor

    folder = tmp_path / "published"
    model, _ = write_siglip2(folder)
    import_into(folder, tmp_path / "model", ImportOptions("taken", "1", PHOTOS, "siglip2", "MIT"))
    # Smooth, so that Pillow's filter and torchvision's differ by a level at most.
    shapes = [(90, 70), (300, 40), (40, 300), (64, 64), (1, 500), (7, 9), (333, 250)]
    pictures = [Image.fromarray(gradient(*shape)) for shape in shapes]
    inputs = Siglip2ImageProcessor.from_pretrained(folder)(pictures, return_tensors="pt")
    with torch.no_grad():
        theirs = F.normalize(model.get_image_features(**inputs).pooler_output, dim=-1).numpy()
    assert len({tuple(shape) for shape in inputs["spatial_shapes"].tolist()}) > 3
    served = load(tmp_path / "model", device="cpu").embed([], pictures).images
    assert (served * theirs).sum(1).min() > 0.9999


def test_scores_are_fitted_on_pictures_of_different_shapes(tmp_path):
    write_siglip2(tmp_path / "published")
    import_into(tmp_path / "published", tmp_path / "model", ImportOptions("taken", "1", PHOTOS, "siglip2", "MIT"))
    photos = tmp_path / "photos"
    write_captioned_noise(photos / "metadata.jsonl", photos)
    for number, file in enumerate(sorted(photos.glob("*.png"))):
        Image.open(file).resize(((40, 90), (90, 40), (64, 64))[number % 3]).save(file)
    (tmp_path / "new").mkdir()
    done = calibrate(
        tmp_path / "model", tmp_path / "new", version="2", images=Images(photos / "metadata.jsonl"), seed=1
    )
    assert done.manifest.get("search_verdicts", {}).keys() == {"student"}


def gradient(height: int, width: int) -> np.ndarray:
    """uint8 [height, width, 3] without edges."""
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.dstack([255 * across, 255 * down, 255 * (1 - across) * down]).astype(np.uint8)


def test_patches_that_cannot_be_served_are_refused_with_what_can(tmp_path):
    folder = tmp_path / "published"
    write_siglip2(folder)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | {"max_num_patches": 250}))
    with pytest.raises(CannotExpress, match=r"allows 250 patches.*set max_num_patches to 256"):
        read_checkpoint(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | {"max_num_patches": 10_000}))
    with pytest.raises(CannotExpress, match=r"1600 pixels a side.*at most 1024 are served"):
        read_checkpoint(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | {"patch_size": 14}))
    with pytest.raises(CannotExpress, match=r"makes patches of 14 pixels, and the tower cuts pictures by 16"):
        read_checkpoint(folder)


def import_out(model: Path, layout: str, out: Path) -> Path:
    """Write a layout; returns the vocabulary in it."""
    out.mkdir()
    write(read_imported(model), layout, out)
    return out / "sentencepiece.model"


def test_a_siglip_goes_out_to_transformers_with_equal_vectors(tmp_path):
    from transformers import AutoTokenizer, SiglipTextModel

    folder = tmp_path / "published"
    write_siglip(folder)
    import_into(folder, tmp_path / "model", ImportOptions("taken", "1", PHOTOS, "siglip", "MIT"))
    import_out(tmp_path / "model", "hf", tmp_path / "hf")
    theirs: Any = SiglipTextModel.from_pretrained(tmp_path / "hf")
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "hf")
    inputs = tokenizer(TEXTS, padding="max_length", truncation=True, return_tensors="pt")
    with torch.no_grad():
        vectors = F.normalize(theirs(input_ids=inputs["input_ids"]).pooler_output, dim=-1).numpy()
    served = load(tmp_path / "model", device="cpu").embed(TEXTS).texts
    assert (vectors * served).sum(1).min() > 0.99  # the server rounds activations
    model = read_imported(tmp_path / "model")
    rows = model.tokenizer.encode(TEXTS, CONTEXT)
    np.testing.assert_allclose([model.text.embed(row).numpy() for row in rows], vectors, atol=1e-4)
    with pytest.raises(CannotExpress, match="every token of the text tower of taken sees the padding"):
        import_out(tmp_path / "model", "onnx", tmp_path / "onnx")


def test_the_published_sizes_are_refused_with_their_numbers(tmp_path):
    from exchange.incoming.clip_text import ClipTextShape
    from exchange.incoming.isolate import check_isolate

    def check(vocabulary: int, width: int, layers: int, hidden: int) -> str:
        shape = ClipTextShape(vocabulary, 64, width, 12, layers, hidden, width, "gelu_tanh", 1e-6, 1, "context")
        with pytest.raises(CannotExpress) as refused:
            check_isolate(shape)
        return str(refused.value)

    assert "a table of 23.4 MiB and 83." in check(32000, 768, 12, 3072)  # SigLIP B/16
    assert "a table of 187.5 MiB and 83." in check(256000, 768, 12, 3072)  # SigLIP 2 B/16


def test_what_a_folder_lacks_is_said(tmp_path):
    folder = tmp_path / "published"
    write_siglip(folder)
    (folder / "spiece.model").unlink()
    with pytest.raises(CannotExpress, match=r"has none of spiece\.model.* and no tokenizer\.json"):
        read_checkpoint(folder)
    settings: Path = folder / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"padding_side": "left"}))
    with pytest.raises(CannotExpress, match="fills texts up on the left"):
        read_checkpoint(folder)
