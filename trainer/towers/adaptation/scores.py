"""What scores mean after an adaptation: fitted anew on what is at hand, or kept where it still holds; says which, with figures.

Own images that were not learned from come before general ones: they are what will be searched.
"""

import re
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from contracts.types import AdaptConfig, ModelManifest, SearchVerdicts, ShortTexts, Tier
from engine.folders.weights import placed
from engine.run import Run
from towers.adaptation.figures import Measured, ServedTiers
from towers.adaptation.own_data import Pictures
from towers.adaptation.write_model import Base
from towers.calibration import fit_logistic, score_distribution
from towers.export.at_hand import LEAST_IMAGES, lacking, serve_described
from towers.export.scores import fit_scores
from towers.formats.item import FormatError, Item
from towers.formats.table import read_items
from towers.names import class_names
from towers.names_verdict import LEAST_NAMES, LONGEST_NAMES, ShortSide, fit_short, measure_short
from towers.preprocess import UNREADABLE
from towers.served_text import token_counts
from towers.verdict import JUDGED_AMONG, LEAST_HALF, Sides, judge, search

LEAST_PAIRS = 30  # below that the scores keep their old meaning
RANDOM_PAIRS = 100_000
# Texts about anything that moved further than this, in the mean, have other cosines with what they had.
LEAST_KEPT_COSINE = 0.98
CALIBRATE = "npm run model -- calibrate FOLDER --images PATH --model-version VERSION fits them on other images"


@dataclass(frozen=True)
class Adapted:
    """The new model, with vectors of the own images to measure on [I, E] and how near general texts stayed to what they were."""

    base: Base
    manifest: ModelManifest
    served: ServedTiers
    pictures: Pictures
    images_IE: np.ndarray
    measured: Measured
    general_cosine: float


@dataclass(frozen=True)
class Fitted:
    """Fields of the manifest, figures, and sentences for a person."""

    fields: dict[str, Any]
    metrics: dict[str, float]
    notes: list[str]


def fit_again(run: Run[AdaptConfig], adapted: Adapted) -> Fitted:
    """By the own images, else the general ones, else what the base says where that still holds."""
    own = [Item(each.key, each.load, each.captions) for each in adapted.pictures.dev if each.captions]
    found = fitted_on(run, adapted, own, "own images that were not learned from")
    if isinstance(found, Fitted):
        return found
    pairs, pairs_note = refitted(adapted)
    general = general_images(run)
    fitted = general if isinstance(general, str) else fitted_on(run, adapted, general, "general images")
    if isinstance(fitted, Fitted):
        fields = {**fitted.fields, **joined(fitted.fields, pairs)}
        result = Fitted(fields, fitted.metrics, [*fitted.notes, pairs_note])
    else:
        why = f"of own images to measure on there are {found}; of general ones, {fitted}"
        result = kept(run, adapted, joined(dict(adapted.base.manifest), pairs), pairs_note, why)
    return with_own_classes(run, adapted, result)


def general_images(run: Run[AdaptConfig]) -> list[Item] | str:
    """Those that the recipe names, or why there are none."""
    named = run.config.get("general_images")
    if named is None:
        return "none are named (adapt.general_images)"
    path = run.input("data") / placed(named)
    try:
        return [item for item in read_items(path).items if item.captions and item.split != "test"]
    except FormatError as error:
        return str(error)


def fitted_on(run: Run[AdaptConfig], adapted: Adapted, items: list[Item], kind: str) -> Fitted | str:
    """All of them, as stage `export` and `calibrate` fit them; or why they cannot be, after a training that must not be lost."""
    few = lacking(items)
    if few is not None:
        return few
    try:
        texts, images = serve_described(
            run.output, adapted.manifest, items, lambda _, done, total: run.tick(done, total)
        )
    except UNREADABLE as error:  # a file that is gone since it was looked through, or is no image any more
        return f"{len(items)} with captions, one of which cannot be read: {error}"
    scores = fit_scores(texts, images, run.seed)
    fields = {
        "calibration": scores.calibration,
        "score_distributions": scores.distributions,
        "search_verdicts": scores.verdicts,
    }
    metrics = {name: value for name, value in scores.metrics.items() if ".verdict." in name}
    said = f"{len(items)} {kind} with {len(texts.image_of_text)} captions"
    return Fitted(fields, metrics, [f"Verdicts on searches are fitted on {said}.", *called(metrics)])


def kept(run: Run[AdaptConfig], adapted: Adapted, pairs: dict[str, Any], pairs_note: str, why: str) -> Fitted:
    """The base's verdicts where the space and the texts stayed, with what they say of own captions; else none."""
    base = adapted.base.manifest
    reasons = {
        f"{base['name']} {base['version']} has none": "search_verdicts" not in base,
        "the space is a new one": run.config["space"] == "new",
        "texts about anything moved": adapted.general_cosine < LEAST_KEPT_COSINE,
    }
    lost = [reason for reason, holds in reasons.items() if holds]
    verdicts = base.get("search_verdicts")
    if lost or verdicts is None:
        return Fitted(pairs, {}, [f"No verdicts on searches: {why}, and {lost[0]}. {CALIBRATE}.", pairs_note])
    metrics = judged(adapted, verdicts["student"]) if "student" in verdicts else {}
    note = (
        f"Verdicts on searches are those of {base['name']} {base['version']}: the space stayed, and texts about anything have a "
        f"mean cosine of {adapted.general_cosine:.3f} with what they were. They are not fitted anew: {why}. {CALIBRATE}."
    )
    return Fitted({**pairs, "search_verdicts": verdicts}, metrics, [note, *called(metrics), pairs_note])


def judged(adapted: Adapted, verdicts: SearchVerdicts) -> dict[str, float]:
    """What verdicts say of own captions, where there are some."""
    images, owners = np.unique(adapted.measured.image_of_text, return_inverse=True)
    of_captions = any(each.captions for each in adapted.pictures.dev)
    if not of_captions or len(images) < 2 * LEAST_HALF:
        return {}
    sides = Sides(adapted.measured.texts_TE, owners, adapted.images_IE[images])
    searches = search(sides, min(JUDGED_AMONG, len(images) - 1), np.random.default_rng(0))
    return {f"student.verdict.{name}": value for name, value in judge([searches], verdicts["text_image"]).items()}


def with_own_classes(run: Run[AdaptConfig], adapted: Adapted, found: Fitted) -> Fitted:
    """Names of own classes in the place of other names, where there are enough of both classes and images."""
    dev = adapted.pictures.dev
    labels = {number: each.label for number, each in enumerate(dev) if each.label is not None}
    among = class_names([each.name for each in adapted.pictures.classes], np.array([*labels.values()], dtype=int))
    names = among(np.ones(len(labels), bool))
    if "search_verdicts" not in found.fields or len(names.texts) < LEAST_NAMES or len(labels) < LEAST_IMAGES:
        return found
    images_ME, counts = adapted.images_IE[[*labels]], token_counts(run.output, adapted.manifest)
    verdicts: dict[Tier, SearchVerdicts] = {**found.fields["search_verdicts"]}
    # Of texts there is nothing new: own classes have pictures.
    of_images = re.compile(r"\.verdict\.short\.(image_text\.)?\w+$")
    metrics = {name: value for name, value in found.metrics.items() if not of_images.search(name)}
    for tier, embed in adapted.served.items():
        if tier not in verdicts:
            continue
        old, rng = verdicts[tier], np.random.default_rng(run.seed)
        most = int(np.quantile(counts[tier](names.texts), LONGEST_NAMES, method="higher"))
        side = ShortSide(names, embed(names.texts), old["short_texts"]["max_tokens"] if "short_texts" in old else most)
        short_texts = cast(ShortTexts, {**old.get("short_texts", {}), **fit_short(side, images_ME, rng)})
        verdicts[tier] = {**old, "short_texts": short_texts}
        short = measure_short(among, side, images_ME, rng)
        metrics |= {f"{tier}.verdict.short.{name}": value for name, value in short.items()}
    sentence = f"Verdicts on searches by names are fitted on {len(names.texts)} classes of {len(labels)} own images."
    notes = [note for note in found.notes if note not in called(found.metrics)]
    return Fitted({**found.fields, "search_verdicts": verdicts}, metrics, [*notes, sentence, *called(metrics)])


def called(metrics: dict[str, float]) -> list[str]:
    """A sentence for each tier and kind of text."""
    return [
        f"{tier}: of {kind} that are there {there:.1%} are called absent, of others {metrics[name + 'absent_called_absent']:.1%}"
        for part, kind in {"verdict.": "captions", "verdict.short.": "names"}.items()
        for tier in ("student", "tiny", "static")
        for name in (f"{tier}.{part}",)
        if (there := metrics.get(f"{name}present_called_absent")) is not None
    ]


def joined(before: dict[str, Any], pairs: dict[str, Any]) -> dict[str, Any]:
    """Scores of text and image in the place of those before them."""
    return {name: {**before[name], **fitted} for name, fitted in pairs.items() if name in before}


def refitted(adapted: Adapted) -> tuple[dict[str, Any], str]:
    """Scores of text and image refitted on own pairs, where there are enough; and a sentence on it."""
    texts_TE, owner_T, images_IE = adapted.measured.texts_TE, adapted.measured.image_of_text, adapted.images_IE
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, len(owner_T), RANDOM_PAIRS), rng.integers(0, len(owner_T), RANDOM_PAIRS)
    # Equal texts are of one class: such a pair matches although the image is another.
    unlike = (owner_T[a] != owner_T[b]) & ((texts_TE[a] * texts_TE[b]).sum(1) < 0.999)
    if len(owner_T) < LEAST_PAIRS or unlike.sum() < LEAST_PAIRS:
        base = f"{adapted.base.manifest['name']} {adapted.base.manifest['version']}"
        return {}, f"Probabilities are read as those of {base}: {len(owner_T)} own pairs are too few to fit them again."
    matching = (texts_TE * images_IE[owner_T]).sum(1)
    random = (texts_TE[a[unlike]] * images_IE[owner_T[b[unlike]]]).sum(1)
    scale, bias = fit_logistic(matching, random)
    scores = {
        "calibration": {"text_image": {"scale": scale, "bias": bias}},
        "score_distributions": {"text_image": cast(Any, score_distribution(matching, random))},
    }
    return scores, f"Scores of text and image are fitted on {len(matching)} own pairs."
