"""Pictures and texts that find each other: recalls both ways, by length of text, in several languages; texts alone (CRA, STS)."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from evaluation.bench import Figures
from evaluation.layouts.files import WrongLayout
from evaluation.layouts.items import Captioned, ScoredPairs
from evaluation.streaming.encoder import Encoder
from evaluation.streaming.lists import Chosen
from evaluation.streaming.ranks import Place, Ranks, streamed_ranks
from evaluation.streaming.rows import Rows
from evaluation.suites.outcome import Outcome, Queries
from towers.metrics import RECALL_AT, recall_at, spearman

# LLM2CLIP reports long texts up to 50; the mean is of the usual three.
MORE_RECALL_AT = (*RECALL_AT, 25, 50)
WAYS = ("image_to_text", "text_to_image")
# Upper ends of the buckets of lengths, in words between white space; CLIP's 77 tokens end near 60 words.
WORDS = (10, 20, 40, 60, 100, 200)
ENGLISH = "en"


def captions(found: Captioned, encoder: Encoder) -> Outcome:
    """R@1/5/10/25/50 both ways, the mean of the first three of both, and text to image by length of text."""
    picture_of = np.asarray(found.picture_of)
    sides = (encoder.pictures(found.pictures), encoder.texts(found.texts))
    ranks, asked_I, asked_N = asked_ranks(*sides, picture_of, encoder.settings.sample, encoder.settings.place)
    first_text = np.searchsorted(picture_of, np.arange(len(found.pictures)))
    queries = {
        "image_to_text": Queries(
            ranks.of_image_I,
            ranks.first_text_I,
            lambda number: found.pictures[int(asked_I[number])],
            lambda number: found.texts[int(first_text[asked_I[number]])],
            lambda _, text: found.texts[text],
        ),
        "text_to_image": Queries(
            ranks.of_text_N,
            ranks.first_image_N,
            lambda number: found.texts[int(asked_N[number])],
            lambda number: found.pictures[int(picture_of[asked_N[number]])],
            lambda _, image: found.pictures[image],
        ),
    }
    figures = recalls_of(ranks.of_image_I, ranks.of_text_N) | by_length(Chosen(found.texts, asked_N), ranks.of_text_N)
    figures |= {"pictures": len(found.pictures), "texts": len(found.texts)}
    if len(asked_I) < len(found.pictures) or len(asked_N) < len(found.texts):
        figures |= {"sampled_pictures": len(asked_I), "sampled_texts": len(asked_N)}
    return Outcome(figures, queries)


def asked_ranks(
    pictures: Rows, texts: Rows, picture_of_N: np.ndarray, sample: int | None, place: Place
) -> tuple[Ranks, np.ndarray, np.ndarray]:
    """Ranks, and the numbers of the pictures and of the texts that are ranked: all, or a sample of each among all of the others.

    A sample is the same one in every run; of more pictures and texts it costs as many times less as it is smaller.
    """
    all_I, all_N = np.arange(len(pictures)), np.arange(len(texts))
    if sample is None or sample >= max(len(pictures), len(texts)):
        return streamed_ranks(pictures, texts, picture_of_N, place), all_I, all_N
    asked_I, asked_N = (
        np.sort(np.random.default_rng(0).choice(numbers, min(sample, len(numbers)), replace=False))
        for numbers in (all_I, all_N)
    )
    row_of_I = np.full(len(pictures), -1)  # a text of no picture that is asked about
    row_of_I[asked_I] = np.arange(len(asked_I))
    of_images = streamed_ranks(pictures.chosen(asked_I), texts, row_of_I[picture_of_N], place, "images")
    of_texts = streamed_ranks(pictures, texts.chosen(asked_N), picture_of_N[asked_N], place, "texts")
    found = Ranks(of_images.of_image_I, of_texts.of_text_N, of_images.first_text_I, of_texts.first_image_N)
    return found, asked_I, asked_N


def recalls_of(image_rank_I: np.ndarray, text_rank_N: np.ndarray) -> Figures:
    """Recalls both ways and the mean of the six at 1, 5 and 10."""
    by_way = dict(zip(WAYS, map(torch.from_numpy, (image_rank_I, text_rank_N)), strict=True))
    found = {f"{way}_R@{k}": recall_at(rank_N, k) for way, rank_N in by_way.items() for k in MORE_RECALL_AT}
    return found | {"mean_recall": sum(found[f"{way}_R@{k}"] for way in WAYS for k in RECALL_AT) / 6}


def by_length(texts: Sequence[str], rank_N: np.ndarray) -> Figures:
    """Text to image for the texts of each bucket of lengths, among all pictures; nothing where all are in one bucket."""
    words_N = np.fromiter((len(text.split()) for text in texts), np.int64, len(texts))
    bucket_N = np.searchsorted(WORDS, words_N)
    there = np.unique(bucket_N)
    figures: Figures = {}
    for bucket in there if len(there) > 1 else ():
        name, chosen = bucket_name(bucket), torch.from_numpy(rank_N[bucket_N == bucket])
        figures |= {f"{name} text_to_image_R@{k}": recall_at(chosen, k) for k in RECALL_AT}
        figures[f"{name} texts"] = len(chosen)
    return figures


def bucket_name(bucket: int) -> str:
    """`11-20 words`, the last one `201+ words`."""
    first = WORDS[bucket - 1] + 1 if bucket else 1
    return f"{first}+ words" if bucket == len(WORDS) else f"{first}-{WORDS[bucket]} words"


def languages(by_language: Mapping[str, Captioned], encoder: Encoder) -> Outcome:
    """`captions` of each language, the mean over languages, and each language's first texts among the English ones."""
    figures: Figures = {}
    queries = {}
    for language, found in by_language.items():
        encoder.begin(language)
        outcome = captions(found, encoder)
        figures |= {f"{language} {name}": value for name, value in outcome.figures.items()}
        queries |= {f"{language} {way}": each for way, each in outcome.queries.items()}
    for name in (*(f"{way}_R@{k}" for way in WAYS for k in MORE_RECALL_AT), "mean_recall"):
        figures[f"mean {name}"] = sum(figures[f"{language} {name}"] for language in by_language) / len(by_language)
    english = by_language.get(ENGLISH)
    if english is not None:
        first = first_texts(english)
        for language, found in by_language.items():
            if language != ENGLISH:
                figures |= to_english(language, first_texts(found), first, encoder)
    return Outcome(figures, queries)


def first_texts(found: Captioned) -> dict[str, str]:
    """The first text of each picture, by the picture's name."""
    texts: dict[str, str] = {}
    for text, picture in zip(found.texts, found.picture_of, strict=True):
        texts.setdefault(found.pictures[picture].file.name, text)
    return texts


def to_english(language: str, texts: dict[str, str], english: dict[str, str], encoder: Encoder) -> Figures:
    """R@1 of the texts of a language among the English texts of the same pictures; equal English texts are one."""
    shared = [name for name in texts if name in english]
    targets = list(dict.fromkeys(english[name] for name in shared))
    number_of = {text: number for number, text in enumerate(targets)}
    target_of = np.array([number_of[english[name]] for name in shared])
    asked = encoder.texts([texts[name] for name in shared])
    ranks = streamed_ranks(encoder.texts(targets), asked, target_of, encoder.settings.place)
    return {f"{language} text_to_english_R@1": recall_at(torch.from_numpy(ranks.of_text_N), 1)}


def caption_retrieval(found: Captioned, encoder: Encoder) -> Outcome:
    """LLM2CLIP's caption-retrieval accuracy: the first caption of a picture finds its second one, top-1.

    `cra` and its reverse are among one caption of each picture; `first_to_any` is among the second and all later captions of all
    pictures, where each of the own ones is right. The paper's versions define the figure differently (the first version's are
    more than twice as high): compare columns of one definition only.
    """
    picture_of, place = np.asarray(found.picture_of), encoder.settings.place
    order = np.argsort(picture_of, kind="stable")
    count_of = np.bincount(picture_of, minlength=len(found.pictures))
    starts, counts = (each[count_of > 1] for each in (np.cumsum(count_of) - count_of, count_of))
    own = np.arange(len(starts))
    if not len(own):
        raise WrongLayout("no picture has two captions, of which the first one finds the second")
    firsts, seconds = (Chosen(found.texts, order[at]) for at in (starts, starts + 1))
    first, second = encoder.texts(firsts), encoder.texts(seconds)
    ranks = streamed_ranks(second, first, own, place)
    of_later = np.repeat(own, counts - 1)
    place_of_later = np.arange(len(of_later)) - np.repeat(np.cumsum(counts - 1) - (counts - 1), counts - 1)
    rest = encoder.texts(Chosen(found.texts, order[starts[of_later] + 1 + place_of_later]))
    of_any = streamed_ranks(first, rest, of_later, place)
    figures = {
        "cra": recall_at(torch.from_numpy(ranks.of_text_N), 1),
        "second_to_first": recall_at(torch.from_numpy(ranks.of_image_I), 1),
        "first_to_any": recall_at(torch.from_numpy(of_any.of_image_I), 1),
        "pairs": len(own),
    }
    asked = Queries(
        ranks.of_text_N,
        ranks.first_image_N,
        lambda number: firsts[number],
        lambda number: seconds[number],
        lambda _, number: seconds[number],
    )
    return Outcome(figures, {"caption_to_caption": asked})


def similarity(found: ScoredPairs, encoder: Encoder) -> Outcome:
    """Spearman's and Pearson's correlation of cosines with people's scores."""
    sides = [encoder.texts(texts) for texts in (found.first, found.second)]
    first_NE, second_NE = (rows.part(0, len(rows)) for rows in sides)
    cosine_N = torch.from_numpy((first_NE * second_NE).sum(1))
    score_N = torch.tensor(found.score, dtype=torch.float64)
    pearson = torch.corrcoef(torch.stack([cosine_N.double(), score_N]))[0, 1].nan_to_num(0.0).item()
    return Outcome({"spearman": spearman(cosine_N, score_N), "pearson": pearson, "pairs": len(score_N)})
