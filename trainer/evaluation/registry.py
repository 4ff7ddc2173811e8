"""The table of dev sets. Adding one is a row here, a function in `sets` and its files in contracts/src/data/dev-sets.ts."""

from collections.abc import Callable
from dataclasses import dataclass

from contracts.constants import DEV_SET_FILES
from evaluation.bench import Bench, Figures
from evaluation.sets import absent, minimal_pairs, naming, retrieval, texts


@dataclass(frozen=True)
class DevSet:
    """One row."""

    name: str
    what: str
    measure: Callable[[Bench], Figures]
    # Why figures of it are dev figures: what has not been trained on.
    why: str
    # The figures that tables show; all of them are in the JSON document.
    shown: tuple[str, ...]
    # Measured only where it is named.
    on_demand: bool = False
    # It needs no photo, so that a slow text teacher can be measured on it beside the tiers.
    texts_only: bool = False
    # How many lists of texts it computes one after the other, where that takes a slow teacher minutes.
    lists: int = 1

    @property
    def files(self) -> list[str]:
        """Below the data folder; the set is left out where one of them is missing."""
        return DEV_SET_FILES[self.name]


RECALLS = tuple(f"{way}_R@{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10))

DEV_SETS = (
    DevSet(
        "flickr",
        "Flickr8k dev: 1,000 photos, 5 captions each; recalls both ways and the mean of the six",
        retrieval.flickr,
        "the official dev split",
        (*RECALLS, "mean_recall"),
    ),
    DevSet(
        "flickr-compact",
        "the same, mean of the six where both sides are cut, or stored as int8, bits, or bits with 40 hits rescored",
        retrieval.flickr_compact,
        "the official dev split",
        tuple(f"{form}@{n}" for n in (512, 256, 128, 64) for form in ("float", "int8", "bits", "bits, rescored")),
    ),
    DevSet(
        "flickr-zh",
        "the same photos, 5 Chinese captions each, written by people",
        retrieval.flickr_chinese,
        "captions of the dev photos",
        ("image_to_text_R@1", "text_to_image_R@1", "mean_recall"),
    ),
    DevSet(
        "imagenet-sample",
        "1,000 photos, one for each ImageNet class, 1,000 names (24 CLIP templates and the bare name)",
        naming.imagenet_sample,
        "a sanity check only: much like the pictures that the backbone learnt from",
        ("top1", "top5"),
    ),
    DevSet(
        "imagenet-sample-80",
        "the same with all 80 CLIP templates and the bare name",
        naming.imagenet_all_templates,
        "a sanity check only",
        ("top1", "top5"),
        on_demand=True,
    ),
    DevSet(
        "imagenet-ccby",
        "387 photographs of 272 ImageNet classes, 1,000 names (24 CLIP templates and the bare name)",
        naming.imagenet_ccby,
        "photographs from outside ImageNet that nobody trained on; their classes had labels when the backbone was trained",
        ("top1", "top5"),
    ),
    DevSet(
        "cifar10",
        "1,000 CIFAR-10 pictures of 32 x 32 pixels, 10 names",
        naming.cifar,
        "train pictures of CIFAR-10, which no recipe reads",
        ("top1",),
    ),
    DevSet(
        "grocery",
        "296 photographs in shops: 81 names, the same with the shop's descriptions, 43 coarse names",
        naming.grocery,
        "the official val split; only a fine-tuned model has read train",
        ("top1", "top5", "described_top1", "coarse_top1"),
    ),
    *(
        DevSet(
            name,
            f"labelled pictures ({', '.join(sets)}) of labels held out by hash, among all labels of these sets (a photo of a …; the label)",
            naming.unseen(sets),
            "a tenth of the labels is trained on by no recipe; new: those that are no ImageNet class either; "
            "other: of the other nine tenths, which a recipe may train on",
            shown,
        )
        for name, sets, shown in (
            ("unseen-nouns", naming.UNSEEN_SETS, ("top1", "top5", "new_top1", "new_top5", "other_top1")),
            ("unseen-caltech101", ("caltech101",), ("top1", "top5", "other_top1")),
            ("unseen-birds", ("birds",), ("top1", "top5", "other_top1")),
        )
    ),
    DevSet(
        "multi30k",
        "986 captions in eight languages, each among all English ones",
        texts.translations,
        "Multi30k's validation split",
        tuple(f"{language}_R@1" for language in texts.LANGUAGES),
        texts_only=True,
        lists=1 + len(texts.LANGUAGES),
    ),
    DevSet(
        "stsb",
        "1,497 sentence pairs, Spearman's correlation with people's judgement",
        texts.similarity,
        "the official dev split",
        ("spearman",),
        texts_only=True,
        lists=2,
    ),
    DevSet(
        "long",
        "long descriptions: the first half finds the second half",
        retrieval.long_descriptions,
        "every twentieth description, in no recipe",
        ("half_to_half_R@1", "half_to_half_R@5"),
        texts_only=True,
        lists=2,
    ),
    DevSet(
        "absent",
        "256 Flickr8k dev photos: is the top hit's score higher where the right photo is there? Nonsense, things",
        absent.present_or_absent,
        "captions and photos of the dev split",
        (
            "auc",
            "present_called_absent",
            "absent_called_absent",
            "nonsense_called_absent",
            "absent_things_called_absent",
            "present_things_called_absent",
            "things_auc",
        ),
    ),
    DevSet(
        "minimal-pairs",
        "dev captions with two colours or two actors swapped; a photo with and without something",
        minimal_pairs.minimal_pairs,
        "made from captions of the dev split",
        ("colours_swapped", "who_swapped", "negation"),
    ),
    DevSet(
        "typing",
        "fragments of dev captions with one typing error find the right fragment, and their photo",
        texts.typing_errors,
        "made from captions of the dev split",
        ("R@1", "cosine", "photo_R@10", "typed_photo_R@10"),
    ),
)

BY_NAME = {row.name: row for row in DEV_SETS}
