"""What similarities mean in the exported model, by dev: recalls, verdicts on searches, calibrations, distributions."""

from dataclasses import dataclass

import numpy as np
import torch

from contracts.types import Calibration, ModelManifestCalibration, ScoreDistributions, SearchVerdicts, Tier
from towers.calibration import fit_logistic, random_negative_pairs, score_distributions
from towers.export.parity import ServedImages, ServedTexts
from towers.metrics import recalls
from towers.names import names_in, said_by, said_names
from towers.names_verdict import LEAST_NAMES, ShortSide, Texts, fit_short, longest_short, measure_short
from towers.verdict import search_verdicts


@dataclass(frozen=True)
class Scores:
    """Parts of the manifest, and figures."""

    calibration: ModelManifestCalibration
    distributions: ScoreDistributions
    verdicts: dict[str, SearchVerdicts]
    metrics: dict[str, float]


def fit_scores(texts: ServedTexts, images: ServedImages, seed: int) -> Scores:
    """Fit them; what is drawn depends on the seed and on the order here. Some images have to have two captions."""
    rng = np.random.default_rng(seed)
    images_ME, views_ME, image_of_text = images.vectors_ME, images.views_ME, texts.image_of_text
    metrics: dict[str, float] = {}
    for tier, vectors_NE in texts.vectors.items():
        found = recalls(torch.from_numpy(images_ME), torch.from_numpy(vectors_NE), torch.from_numpy(image_of_text))
        metrics |= {f"{tier}.{name}": value for name, value in found.items()}
    verdicts: dict[str, SearchVerdicts] = {}
    for tier, vectors_NE in texts.vectors.items():
        verdicts[tier], found = search_verdicts(vectors_NE, image_of_text, images_ME, views_ME, rng)
        metrics |= {f"{tier}.verdict.{name}": value for name, value in found.items()}
        # Drawn apart: what is drawn for the rest does not depend on the names.
        [drawn] = rng.spawn(1)
        side = short_side(texts, tier)
        if side is not None:
            first_M = np.unique(image_of_text, return_index=True)[1]
            first = Texts(vectors_NE[first_M], said_by(side.names.texts, [of_image[0] for of_image in texts.captions]))
            verdicts[tier]["short_texts"] = fit_short(side, images_ME, drawn, first)
            found = measure_short(said_names(texts.captions), side, images_ME, drawn, first)
            metrics |= {f"{tier}.verdict.short.{name}": value for name, value in found.items()}
    texts_NE = texts.vectors["student"]
    calibration: ModelManifestCalibration = {
        "text_image": fit_pairs(texts_NE, image_of_text, images_ME, rng),
        "text_text": fit_captions(texts_NE, image_of_text, rng),
        "image_image": fit_pairs(views_ME, np.arange(len(views_ME)), images_ME, rng),
    }
    distributions = score_distributions(texts_NE, image_of_text, images_ME, views_ME, rng)
    return Scores(calibration, distributions, verdicts, metrics)


def short_side(texts: ServedTexts, tier: Tier) -> ShortSide | None:
    """The names that the captions say; None where they are too few or as long as captions are."""
    names = names_in(texts.captions)
    if len(names.texts) < LEAST_NAMES:
        return None
    flat = [caption for of_image in texts.captions for caption in of_image]
    most = longest_short(texts.tokens[tier](names.texts), texts.tokens[tier](flat))
    return None if most is None else ShortSide(names, texts.embed[tier](names.texts), most)


def fit_pairs(a_NE: np.ndarray, image_of_a: np.ndarray, images_ME: np.ndarray, rng: np.random.Generator) -> Calibration:
    """Calibration of a's rows against images: their own, and as many random other ones."""
    other = rng.integers(0, len(images_ME) - 1, len(a_NE))
    other += other >= image_of_a
    scale, bias = fit_logistic((a_NE * images_ME[image_of_a]).sum(1), (a_NE * images_ME[other]).sum(1))
    return {"scale": scale, "bias": bias}


def fit_captions(texts_NE: np.ndarray, image_of_text: np.ndarray, rng: np.random.Generator) -> Calibration:
    """Calibration of captions: neighbours of one image, and as many random pairs of different images."""
    first = np.flatnonzero(image_of_text[:-1] == image_of_text[1:])
    a, b = random_negative_pairs(len(first), image_of_text, rng)
    scale, bias = fit_logistic((texts_NE[first] * texts_NE[first + 1]).sum(1), (texts_NE[a] * texts_NE[b]).sum(1))
    return {"scale": scale, "bias": bias}
