"""Names of things, as people search by them: short phrases that most captions of an image say, and who shows them.

N names, M images.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from towers.fragments import STOP_WORDS
from towers.labels import normalised_label

WORDS = 2  # of a name, at most: "dog", "tennis ball", "dog running"
AGREED = 0.5  # of an image's captions, more of which say what it shows: one person may see what nobody else does
LEAST_SHOWN = 3  # images: what fewer show is more often a turn of phrase than a thing
# Of the images, said by some caption: what is said of more can hardly be absent. Such words say little, in any language.
MOST_SAID = 0.3


class Names(NamedTuple):
    """Names, the images that show them, and those of which no caption says one of their words."""

    texts: list[str]
    shown_NM: np.ndarray
    absent_NM: np.ndarray

    def of(self, chosen_N: np.ndarray) -> "Names":
        """Only some of them."""
        texts = [text for text, chosen in zip(self.texts, chosen_N, strict=True) if chosen]
        return Names(texts, self.shown_NM[chosen_N], self.absent_NM[chosen_N])


NamesAmong = Callable[[np.ndarray], Names]  # of the images that a mask [M] chooses


def said_names(captions: Sequence[Sequence[str]]) -> NamesAmong:
    """Of images with captions."""
    return lambda chosen_M: names_in([of_image for of_image, its in zip(captions, chosen_M, strict=True) if its])


def class_names(texts: Sequence[str], class_M: np.ndarray) -> NamesAmong:
    """Of images that are of one class each, by its number; a class of none of them is no name."""

    def among(chosen_M: np.ndarray) -> Names:
        shown_NM = class_M[chosen_M] == np.arange(len(texts))[:, None]
        return Names(list(texts), shown_NM, ~shown_NM).of(shown_NM.any(1))

    return among


def names_in(captions: Sequence[Sequence[str]]) -> Names:
    """Of the captions of every image."""
    said = [[phrases(caption) for caption in of_image] for of_image in captions]
    words = [{word for phrase in set().union(*of_image) for word in phrase.split()} for of_image in said]
    images_saying = Counter(word for of_image in words for word in of_image)
    shown: dict[str, list[int]] = defaultdict(list)
    for image, of_image in enumerate(said):
        for phrase, times in Counter(phrase for of_caption in of_image for phrase in of_caption).items():
            if times > AGREED * len(of_image):
                shown[phrase].append(image)
    most = MOST_SAID * len(captions)
    texts = sorted(
        phrase
        for phrase, images in shown.items()
        if len(images) >= LEAST_SHOWN and all(images_saying[word] <= most for word in phrase.split())
    )
    shown_NM = np.zeros((len(texts), len(captions)), bool)
    absent_NM = np.zeros((len(texts), len(captions)), bool)
    for number, phrase in enumerate(texts):
        shown_NM[number, shown[phrase]] = True
        absent_NM[number] = [not of_image.issuperset(phrase.split()) for of_image in words]
    return Names(texts, shown_NM, absent_NM)


def said_by(texts: Sequence[str], captions: Sequence[str]) -> np.ndarray:
    """[N, M]: which captions say all words of a name."""
    words = [set(normalised_label(caption).split()) for caption in captions]
    return np.array([[of_caption.issuperset(text.split()) for of_caption in words] for text in texts], bool)


def phrases(caption: str) -> set[str]:
    """Every run of at most `WORDS` words without a stop word."""
    words = normalised_label(caption).split()
    runs = (words[at : at + length] for length in range(1, WORDS + 1) for at in range(len(words) - length + 1))
    return {" ".join(run) for run in runs if not STOP_WORDS.intersection(run)}
