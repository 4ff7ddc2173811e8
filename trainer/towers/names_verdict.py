"""Verdicts of names: of searches by them, and of searches among them.

The cosine of a caption with its photo does not depend on its length, but a name's is lower, with photos and with captions, and
as long as one threshold judged both, it was wrong for names.

N names, M images.
"""

from typing import Literal, NamedTuple

import numpy as np

from contracts.types import SearchVerdict, ShortTexts
from towers.names import MOST_SAID, Names, NamesAmong
from towers.verdict import FOLDS, JUDGED_AMONG, SEARCHES, Searches, counts_of, fit_verdict, judge

LEAST_NAMES = 20  # of fewer no quantile does
# A text is short where fewer captions than this have as few tokens.
AS_SHORT = 0.05
LONGEST_NAMES = 0.9  # of the names are short texts; where captions are as short as they are, captions are names
JUDGED_AMONG_NAMES = 16
# What is published of searches other than names among images.
FIGURES = ("auc", "ece", "present_called_absent", "absent_called_absent")

Kind = Literal["text_image", "text_text", "image_text", "long_text"]


class ShortSide(NamedTuple):
    """Names: their vectors, and up to how many tokens a text is judged as they are."""

    names: Names
    queries_NE: np.ndarray
    max_tokens: int


class Texts(NamedTuple):
    """A caption of every image, and which names it says."""

    captions_ME: np.ndarray
    said_NM: np.ndarray


class Pictured(NamedTuple):
    """Names with the images that they search, or that search among them, and their captions where there are some."""

    names: Names
    queries_NE: np.ndarray
    images_ME: np.ndarray
    texts: Texts | None

    def of(self, chosen_N: np.ndarray, chosen_M: np.ndarray, names: Names) -> "Pictured":
        """Only some of both; `names`: the chosen ones in the chosen images."""
        texts = self.texts and Texts(self.texts.captions_ME[chosen_M], self.texts.said_NM[chosen_N][:, chosen_M])
        return Pictured(names, self.queries_NE[chosen_N], self.images_ME[chosen_M], texts)

    def searched(self, kind: Kind) -> tuple[Names, np.ndarray]:
        """Names with what matches, and cosines [N, M]."""
        if kind in ("text_image", "image_text"):
            return self.names, self.queries_NE @ self.images_ME.T
        assert self.texts is not None, "texts are searched where there are some"
        scores_NM = self.queries_NE @ self.texts.captions_ME.T
        if kind == "text_text":
            return self.names, scores_NM
        # A caption that does not say what its photo shows is not about it.
        return self.names._replace(shown_NM=self.names.shown_NM & self.texts.said_NM), scores_NM

    def counts(self, kind: Kind) -> list[int]:
        """How many things searches are made among; none where too few could be made."""
        names, _ = self.searched(kind)
        if kind in ("text_image", "text_text"):
            return counts_of_names(len(self.images_ME))
        lacked = names.absent_NM.sum(0)[names.shown_NM.any(0)]
        most = int(np.median(lacked)) if len(lacked) >= LEAST_NAMES else 0
        return counts_of(most + 1) if most else []

    def search(self, kind: Kind, count: int, rng: np.random.Generator) -> Searches:
        """Random searches."""
        searches = search_names if kind in ("text_image", "text_text") else search_among_names
        return searches(*self.searched(kind), count, rng)

    def fit(self, kind: Kind, rng: np.random.Generator) -> SearchVerdict | None:
        """The verdict; None where too few searches could be made."""
        counts = self.counts(kind)
        return fit_verdict([self.search(kind, count, rng) for count in counts]) if counts else None


def search_names(names: Names, scores_NM: np.ndarray, count: int, rng: np.random.Generator) -> Searches:
    """Random searches of every name: among `count` images of which one at least shows it, and among those of which none does.

    Others may show it, too: that is how collections are.
    """
    present, absent = [], []
    for number in np.flatnonzero(names.absent_NM.sum(1) >= count):
        showing, without = np.flatnonzero(names.shown_NM[number]), np.flatnonzero(names.absent_NM[number])
        scores_M = scores_NM[number]
        for _ in range(max(1, SEARCHES // len(names.texts))):
            among = rng.permutation(len(scores_M))[:count]
            among[-1] = showing[rng.integers(len(showing))]
            present.append(scores_M.take(among).max())
            absent.append(scores_M.take(rng.permutation(without)[:count]).max())
    return Searches(count, np.array(present), np.array(absent))


def search_among_names(names: Names, scores_NM: np.ndarray, count: int, rng: np.random.Generator) -> Searches:
    """Random searches by every image that shows something: among `count` names, one of which is of it and the others are not."""
    present, absent = [], []
    for image in np.flatnonzero(names.shown_NM.any(0) & (names.absent_NM.sum(0) >= count)):
        shown, without = np.flatnonzero(names.shown_NM[:, image]), np.flatnonzero(names.absent_NM[:, image])
        scores_N = scores_NM[:, image].copy()
        for _ in range(max(1, SEARCHES // scores_NM.shape[1])):
            among = rng.permutation(without)[:count]
            among[-1] = shown[rng.integers(len(shown))]
            present.append(scores_N.take(among).max())
            absent.append(scores_N.take(rng.permutation(without)[:count]).max())
    return Searches(count, np.array(present), np.array(absent))


def counts_of_names(images: int) -> list[int]:
    """As many as the images that lack the commonest name."""
    return counts_of(int((1 - MOST_SAID) * images) + 1)


def fit_short(
    side: ShortSide, images_ME: np.ndarray, rng: np.random.Generator, texts: Texts | None = None
) -> ShortTexts:
    """The verdicts of names. Of searches of texts without `texts`: none."""
    pictured = Pictured(side.names, side.queries_NE, images_ME, texts)
    # Drawn apart: what is drawn for one kind does not depend on the others.
    others = rng.spawn(3)
    of_images = fit_verdict(pictured.search("text_image", count, rng) for count in pictured.counts("text_image"))
    found: ShortTexts = {"max_tokens": side.max_tokens, "text_image": of_images}
    among_names = pictured.fit("image_text", others[0])
    if among_names is not None:
        found["image_text"] = among_names
    if texts is not None:
        found["text_text"] = fit_verdict(
            pictured.search("text_text", count, others[1]) for count in pictured.counts("text_text")
        )
        long_text = pictured.fit("long_text", others[2])
        if long_text is not None:
            found["long_text"] = long_text
    return found


def longest_short(names: list[int], captions: list[int]) -> int | None:
    """Of the tokens of both: as many as a short text may have; None where captions are as short as names are."""
    most = int(np.quantile(captions, AS_SHORT, method="lower")) - 1
    return most if most >= np.quantile(names, LONGEST_NAMES) else None


def measure_short(
    names_among: NamesAmong,
    side: ShortSide,
    images_ME: np.ndarray,
    rng: np.random.Generator,
    texts: Texts | None = None,
) -> dict[str, float]:
    """Figures by cross-validation over images and names: of each half, names of one kind are judged by those of the other.

    Those of names among images have no prefix.
    """
    number_of = {text: number for number, text in enumerate(side.names.texts)}
    pictured = Pictured(side.names, side.queries_NE, images_ME, texts)
    fold_M = rng.permutation(len(images_ME)) % FOLDS
    fold_of = {text: int(fold) for text, fold in zip(number_of, rng.permutation(len(number_of)) % FOLDS, strict=True)}
    halves: list[Pictured] = []
    for fold in range(FOLDS):
        names = names_among(fold_M == fold)
        names = names.of(np.array([fold_of.get(text) == fold for text in names.texts], bool))
        if len(names.texts) < LEAST_NAMES:
            return {}
        halves.append(pictured.of(np.array([number_of[text] for text in names.texts]), fold_M == fold, names))
    kinds: list[Kind] = ["image_text", *(["text_text", "long_text"] if texts is not None else [])]
    others = rng.spawn(len(kinds))
    found = cross_judged(halves, "text_image", rng)
    for kind, drawn in zip(kinds, others, strict=True):
        figures = cross_judged(halves, kind, drawn)
        found |= {f"{kind}.{name}": figures[name] for name in FIGURES if name in figures}
    return found


def cross_judged(halves: list[Pictured], kind: Kind, rng: np.random.Generator) -> dict[str, float]:
    """Means over the halves, each judged by the other one; none where too few searches could be made."""
    counts = min((half.counts(kind) for half in halves), key=lambda each: each[-1] if each else 0)
    if not counts:
        return {}
    most = JUDGED_AMONG if kind in ("text_image", "text_text") else JUDGED_AMONG_NAMES
    count = min(most, counts[-1])
    found = []
    for fold, half in enumerate(halves):
        verdict = fit_verdict([halves[1 - fold].search(kind, each, rng) for each in counts])
        found.append(judge([half.search(kind, count, rng)], verdict))
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}
