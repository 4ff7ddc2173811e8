"""The manifest of an exported model and its card: what it is, how it scores, which vectors it has to give."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, cast

from contracts.constants import SCHEMA_VERSION
from contracts.types import ExportConfig, GoldenVector, LanguageFigures, LineageParent, ModelManifest, Tier
from engine.run import Run
from towers.data import read_texts
from towers.export.graphs import Exported
from towers.export.parity import ServedImages, ServedTexts
from towers.export.scores import Scores
from towers.exported_files import MIN_GOLDEN_COSINE
from towers.languages import from_numpy, translation_recalls
from towers.onnx_export import space_id
from towers.quantisation import quantisation_of

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


class Measured(NamedTuple):
    """What was computed of dev as it is served."""

    texts: ServedTexts
    images: ServedImages
    scores: Scores


def manifest_of(run: Run[ExportConfig], prepared: Path, exported: Exported, measured: Measured) -> ModelManifest:
    """The document of what was written and measured; `metrics` are those of the scores."""
    texts, images, scores = measured
    config, described, shape = run.config, exported.described, exported.students["student"].shape
    manifest: ModelManifest = {
        "schema_version": SCHEMA_VERSION,
        "name": config["name"],
        "version": config["version"],
        "created_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "space_id": space_id(run.output / "image.onnx", exported.recipe, shape.embed_dim),
        "embed_dim": shape.embed_dim,
        "matryoshka_dims": shape.matryoshka_dims,
        "text": described["text"],
        "static": described["static"],
        "image": described["image"],
        "quantisation": quantisation_of([images.vectors_ME, *texts.vectors.values()], shape.matryoshka_dims),
        "calibration": scores.calibration,
        "score_distributions": scores.distributions,
        "search_verdicts": scores.verdicts,
        "golden": golden(texts, spells=exported.wordpiece.spells),
        "metrics": scores.metrics,
        "lineage": {
            "recipe": run.job["recipe"],
            "code": run.job["code"],
            "parents": cast(list[LineageParent], config["parents"]),
        },
    }
    if "tiny" in described:
        manifest["tiny"] = described["tiny"]
    translated = translation_recalls(
        read_texts(prepared, "translations", "dev"), from_numpy(texts.embed["student"]), LEAST_TRANSLATIONS
    )
    if translated:
        manifest["languages"] = language_figures(scores.metrics["student.text_to_image_R@10"], translated)
    return manifest


def golden(texts: ServedTexts, *, spells: bool) -> list[GoldenVector]:
    """Sentences with the vectors that a server has to give."""
    return [
        {"text": text, "tier": tier, "embedding": [float(x) for x in vector], "min_cosine": MIN_GOLDEN_COSINE}
        for tier, embed in texts.embed.items()
        for sentences in ([*GOLDEN[tier], *([SPELLED] if spells else [])],)
        for text, vector in zip(sentences, embed(sentences), strict=True)
    ]


def card_notes(exported: Exported, texts: ServedTexts, images: ServedImages) -> list[str]:
    """What the card says of how it was measured."""
    compared = len(texts.cosines["static"])
    return [
        f"Parity: cosine of the served path to PyTorch with the same rounding, rounding: to float32, over {compared} dev captions; "
        f"images to float32 over {len(images.cosines)} dev images.",
        "Calibration: fitted on as many matching as random pairs of dev; a score is the chance of a match where half "
        "of the pairs match. A matching image pair is an image and its mirrored central crop.",
        "Verdicts: by the best hit of searches in dev, once with what matches and once without it. At most one in ten "
        "searches for what is there is called absent. The figures are of the half that a verdict was not fitted on.",
        f"Recall: {len(images.vectors_ME)} dev images, {len(texts.image_of_text)} captions, any caption of the image counts.",
        "Size: " + exported.said_sizes() + ".",
    ]


def bytes_of(out: Path, names: list[str], sizes: dict[str, int]) -> dict[str, float]:
    """Bytes of all files and of every tier, for the report."""
    found: dict[str, float] = {"bytes": sum((out / name).stat().st_size for name in names)}
    return found | {f"bytes.{name}": size for name, size in sizes.items()}


def language_figures(english: float, translated: dict[str, float]) -> list[LanguageFigures]:
    """English by how its captions find photographs, the others by how they find their English translation."""
    return [
        {"language": "en", "metrics": {"text_to_image_R@10": english}},
        *({"language": language, "metrics": {"to_english_R@1": recall}} for language, recall in translated.items()),
    ]
