"""Stage `export`: writes everything a server needs into one folder and verifies that it computes the same vectors.

manifest.json, vocabulary.txt, image.onnx, static.table.bin, static.projection.bin where the table is narrower than the space,
MODEL_CARD.md, and of every transformer NAME.onnx, NAME.weights.bin, NAME.partition.bin and NAME.table.bin.
"""

import io
import shutil
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import torch
from PIL import Image, ImageOps

from contracts.constants import FILE_MANIFEST, SCHEMA_VERSION
from contracts.types import (
    Calibration,
    ExportConfig,
    GoldenVector,
    LanguageFigures,
    ModelManifest,
    ModelManifestText,
    PreprocessRecipe,
    SearchVerdicts,
    Tier,
)
from engine.run import Run, artefact
from towers.calibration import fit_logistic, random_negative_pairs, score_distributions
from towers.data import Row, read_images, read_pairs, read_texts
from towers.exported_files import (
    FILE_OF,
    MIB,
    MIN_GOLDEN_COSINE,
    artefacts_in,
    check_sizes,
    load_tiers,
    tokenizer_of,
    write_manifest,
    write_static,
    write_tower,
)
from towers.languages import from_numpy, translation_recalls
from towers.metrics import recalls
from towers.model_card import model_card
from towers.onnx_export import export_image_tower, session, space_id
from towers.preprocess import preprocess
from towers.quantisation import int8_scale
from towers.served_text import served_tiers
from towers.student import load_static
from towers.two_towers import load_image_tower, load_preprocess
from towers.verdict import search_verdicts
from towers.wordpiece import WordPiece

MIN_IMAGE_COSINE = 0.999
LEAST_TRANSLATIONS = 50  # of fewer sentences of a language no figure means anything
GOLDEN: dict[Tier, list[str]] = {
    "student": [
        "A dog runs through the snow.",
        "Zwei Kinder spielen am Strand.",
        "a man in a red jacket climbing a rock",
    ],
    "tiny": ["A dog runs through the snow.", "Zwei Kinder spielen am Strand."],
    "static": ["A dog runs through the snow.", "two children playing on the beach"],
}
SPELLED = "dog\U0001f44d \u72ac"  # an emoji and a character that a vocabulary may lack
IMAGE_BATCH = 16
VIEW_IMAGES = 500  # dev images of which a second view is embedded, for the calibration of image pairs
CROP_FRACTION = 0.8  # of an image's sides: the central crop that is its second view


def main() -> None:
    """Run the stage."""
    run = Run.start(ExportConfig)
    config, out = run.config, run.output
    prepared, distilled, clip = run.input("prepare"), run.input("distill"), run.input("clip")

    # ---- graphs and tables -----------------------------------------------------------------------
    students = load_tiers(distilled)
    wordpiece = WordPiece.read(distilled / "vocabulary.txt")
    static, shape = load_static(distilled), students["student"].shape
    recipe = load_preprocess(clip)
    tower = load_image_tower(clip).cpu().float().eval()
    shutil.copyfile(distilled / "vocabulary.txt", out / "vocabulary.txt")
    towers = {tier: write_tower(out, each, FILE_OF[tier], config["opset"]) for tier, each in students.items()}
    static_table = write_static(out, static)
    export_image_tower(tower, recipe["size"], out / "image.onnx", config["opset"], config["image_weights"])
    text_model: ModelManifestText = {
        "tokenizer": tokenizer_of(out, wordpiece),
        "context_length": shape.context_length,
        **towers["student"],
    }  # fmt: skip
    described: dict[str, Any] = {
        "text": text_model,
        **({"tiny": towers["tiny"]} if "tiny" in towers else {}),
        "static": static_table,
        "image": {
            "preprocess": recipe,
            "graph": {"file": artefact(out, "image.onnx"), "opset": config["opset"]},
        },
    }
    sizes = check_sizes(described, config["max_mib"])
    run.log(", ".join(f"{name} {size / MIB:.2f} MiB" for name, size in sizes.items()))
    run.tick(1, 4)

    # ---- parity of the served paths with PyTorch in float32 --------------------------------------
    pairs = read_pairs(prepared, "dev")
    texts = [caption for row in pairs for caption in row["captions"]]
    image_of_text = np.array([number for number, row in enumerate(pairs) for _ in row["captions"]])
    embed_tier = served_tiers(out, cast(ModelManifest, described))
    vectors = {tier: embed(texts) for tier, embed in embed_tier.items()}
    texts_NE = vectors["student"]
    # Every k-th caption, so that the sample is of all images and not of the first ones.
    sample = np.unique(np.linspace(0, len(texts) - 1, min(config["parity_samples"], len(texts))).astype(int))
    sampled = [texts[i] for i in sample]
    cosines_of = {
        FILE_OF[tier]: row_cosines(
            vectors[tier][sample], each.embed(wordpiece.encode(sampled, shape.context_length)).numpy()
        )
        for tier, each in students.items()
    }
    with torch.no_grad():
        cosines_of["static"] = row_cosines(vectors["static"][sample], static(wordpiece.tokens(sampled)).numpy())
    run.tick(2, 4)
    image_session = session(out / "image.onnx")
    images_ME, views_ME, image_cosines = served_image_vectors(run, pairs, recipe, tower, image_session)
    parity: dict[str, Any] = parity_of(cosines_of, (config["min_mean_cosine"], config["min_worst_cosine"]))
    parity |= parity_of({"image": image_cosines}, (MIN_IMAGE_COSINE, MIN_IMAGE_COSINE))
    run.tick(3, 4, **parity)

    # ---- calibration, metrics, golden vectors ----------------------------------------------------
    rng = np.random.default_rng(run.seed)
    metrics = dict(parity)
    scale = int8_scale([images_ME, *vectors.values()], shape.matryoshka_dims)
    for tier, vectors_NE in vectors.items():
        found = recalls(torch.from_numpy(images_ME), torch.from_numpy(vectors_NE), torch.from_numpy(image_of_text))
        metrics |= {f"{tier}.{name}": value for name, value in found.items()}
    verdicts: dict[str, SearchVerdicts] = {}
    for tier, vectors_NE in vectors.items():
        verdicts[tier], found = search_verdicts(vectors_NE, image_of_text, images_ME, views_ME, rng)
        metrics |= {f"{tier}.verdict.{name}": value for name, value in found.items()}
    golden: list[GoldenVector] = [
        {"text": text, "tier": tier, "embedding": [float(x) for x in vector], "min_cosine": MIN_GOLDEN_COSINE}
        for tier, embed in embed_tier.items()
        for sentences in ([*GOLDEN[tier], *([SPELLED] if wordpiece.spells else [])],)
        for text, vector in zip(sentences, embed(sentences), strict=True)
    ]

    # ---- manifest and card -----------------------------------------------------------------------
    manifest: ModelManifest = {
        "schema_version": SCHEMA_VERSION,
        "name": config["name"],
        "version": config["version"],
        "created_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "space_id": space_id(out / "image.onnx", recipe, shape.embed_dim),
        "embed_dim": shape.embed_dim,
        "matryoshka_dims": shape.matryoshka_dims,
        "text": described["text"],
        "static": described["static"],
        "image": described["image"],
        "quantisation": {"int8_scale": scale},
        "calibration": {
            "text_image": fit_pairs(texts_NE, image_of_text, images_ME, rng),
            "text_text": fit_captions(texts_NE, image_of_text, rng),
            "image_image": fit_pairs(views_ME, np.arange(len(views_ME)), images_ME, rng),
        },
        "score_distributions": score_distributions(texts_NE, image_of_text, images_ME, views_ME, rng),
        "search_verdicts": verdicts,
        "golden": golden,
        "metrics": metrics,
        "lineage": {"recipe": run.job["recipe"], "code": run.job["code"], "parents": config["parents"]},
    }
    if "tiny" in described:
        manifest["tiny"] = described["tiny"]
    translated = translation_recalls(
        read_texts(prepared, "translations", "dev"), from_numpy(embed_tier["student"]), LEAST_TRANSLATIONS
    )
    if translated:
        manifest["languages"] = language_figures(metrics["student.text_to_image_R@10"], translated)
    notes = [
        f"Parity: cosine of the served path to PyTorch float32 over {len(sample)} dev captions and "
        f"{len(image_cosines)} dev images.",
        "Calibration: fitted on as many matching as random pairs of dev; a score is the chance of a match where half "
        "of the pairs match. A matching image pair is an image and its mirrored central crop.",
        "Verdicts: by the best hit of searches in dev, once with what matches and once without it. At most one in ten "
        "searches for what is there is called absent. The figures are of the half that a verdict was not fitted on.",
        f"Recall: {len(images_ME)} dev images, {len(texts)} captions, any caption of the image counts.",
        "Size: " + ", ".join(f"{name} {size / MIB:.2f} MiB" for name, size in sizes.items()) + ".",
    ]
    (out / "MODEL_CARD.md").write_text(model_card(manifest, notes, config["terms"], config["limits"]), encoding="utf-8")
    write_manifest(out, manifest)
    run.tick(4, 4)
    names = [FILE_MANIFEST, "MODEL_CARD.md", *(file["path"] for file in artefacts_in(described))]
    metrics["bytes"] = sum((out / name).stat().st_size for name in names)
    metrics |= {f"bytes.{name}": size for name, size in sizes.items()}
    run.finish(metrics, {name: name for name in names}, notes)


def parity_of(cosines_of: dict[str, np.ndarray], least: tuple[float, float]) -> dict[str, float]:
    """Mean and worst cosine of each path to PyTorch; below the `least` of either nothing is exported."""
    parity: dict[str, float] = {}
    for name, cosines in cosines_of.items():
        parity |= {f"parity.{name}.mean": float(cosines.mean()), f"parity.{name}.worst": float(cosines.min())}
        if cosines.mean() < least[0] or cosines.min() < least[1]:
            raise SystemExit(
                f"the exported {name} path strays from PyTorch: cosine {cosines.mean():.4f} in the mean (at least "
                f"{least[0]}), {cosines.min():.4f} at worst (at least {least[1]}), over {len(cosines)} samples"
            )
    return parity


def language_figures(english: float, translated: dict[str, float]) -> list[LanguageFigures]:
    """English by how its captions find photographs, the others by how they find their English translation."""
    return [
        {"language": "en", "metrics": {"text_to_image_R@10": english}},
        *({"language": language, "metrics": {"to_english_R@1": recall}} for language, recall in translated.items()),
    ]


def row_cosines(a_NE: np.ndarray, b_NE: np.ndarray) -> np.ndarray:
    """Cosine of each row of a with the same row of b."""
    lengths_N = np.linalg.norm(a_NE, axis=1) * np.linalg.norm(b_NE, axis=1)
    return (a_NE * b_NE).sum(1) / np.maximum(lengths_N, 1e-12)


def served_image_vectors(
    run: Run[ExportConfig], pairs: list[Row], recipe: PreprocessRecipe, tower: torch.nn.Module, image_session: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Served vectors of all images, of a mirrored central crop of the first ones, and cosines of some to PyTorch."""
    images, views, cosines = [], [], []
    limit = run.config["parity_samples"]
    pixels: list[np.ndarray] = []
    crops: list[np.ndarray] = []
    for number, (_, data) in enumerate(read_images(run.input("prepare"), pairs), 1):
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        pixels.append(preprocess(image, recipe))
        if number <= VIEW_IMAGES:
            crops.append(preprocess(mirrored_centre(image), recipe))
        if len(pixels) == IMAGE_BATCH or number == len(pairs):
            batch_B3SS = np.stack(pixels)
            images.append(image_session.run(["embedding"], {"pixels": batch_B3SS})[0])
            if crops:
                views.append(image_session.run(["embedding"], {"pixels": np.stack(crops)})[0])
            if number - len(pixels) < limit:
                with torch.no_grad():
                    cosines.append(row_cosines(images[-1], tower(torch.from_numpy(batch_B3SS)).numpy()))
            pixels, crops = [], []
    return np.concatenate(images), np.concatenate(views), np.concatenate(cosines)


def mirrored_centre(image: Image.Image) -> Image.Image:
    """The central part of an image, mirrored: the same scene, other pixels."""
    width, height = round(image.width * CROP_FRACTION), round(image.height * CROP_FRACTION)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return ImageOps.mirror(image.crop((left, top, left + width, top + height)))


def fit_pairs(a_NE: np.ndarray, image_of_a: np.ndarray, images_ME: np.ndarray, rng: np.random.Generator) -> Calibration:
    """Calibration of a's rows against images: their own, and as many random other ones."""
    other = rng.integers(0, len(images_ME) - 1, len(a_NE))
    other += other >= image_of_a
    scale, bias = fit_logistic((a_NE * images_ME[image_of_a]).sum(1), (a_NE * images_ME[other]).sum(1))
    return {"scale": scale, "bias": bias}


def fit_captions(texts_NE: np.ndarray, image_of_text: np.ndarray, rng: np.random.Generator) -> Calibration:
    """Calibration of captions: neighbours of one image, and as many random pairs of different images."""
    first = np.flatnonzero(image_of_text[:-1] == image_of_text[1:])
    if len(first) == 0:
        raise SystemExit("calibration of text pairs needs dev images with at least two captions")
    a, b = random_negative_pairs(len(first), image_of_text, rng)
    scale, bias = fit_logistic((texts_NE[first] * texts_NE[first + 1]).sum(1), (texts_NE[a] * texts_NE[b]).sum(1))
    return {"scale": scale, "bias": bias}


if __name__ == "__main__":
    main()
