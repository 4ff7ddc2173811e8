"""The table of suites: what each one is, the folder it is read from, and how it is measured. Adding one is a row here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from evaluation.layouts import captioned, choices, imagenet, languages
from evaluation.streaming.encoder import Encoder
from evaluation.suites import choices as measured_choices
from evaluation.suites import retrieval, zero_shot
from evaluation.suites.outcome import Outcome

Items = TypeVar("Items")


@dataclass(frozen=True)
class Suite(Generic[Items]):
    """One row. `shown`: figures of the table, `*` stands for any letters; all of them are in the JSON document."""

    name: str
    what: str
    # The files of its folder, as they are published.
    layout: str
    read: Callable[[Path], Items]
    # An outcome, or what finds it out when all vectors are there, which one process alone does.
    measure: Callable[[Items, Encoder], Outcome | Callable[[], Outcome]]
    shown: tuple[str, ...]
    # How many parts `measure` goes through, each of which it begins by itself; None: one.
    parts: Callable[[Items], int] | None = None


RECALLS = tuple(f"{way}_R@{k}" for way in retrieval.WAYS for k in (1, 5, 10))
BY_WORDS = "* words text_to_image_R@1"
FLICKR_PICTURES = "pictures beside it, in images/ or in flickr30k-images/"
COCO_LAYOUT = "dataset_coco.json (Karpathy) or coco_karpathy_test.json, pictures in val2014/ and train2014/"
PER_LANGUAGE = (
    *(f"mean {way}_R@1" for way in retrieval.WAYS),
    "* image_to_text_R@1",
    "* text_to_image_R@1",
    "* text_to_english_R@1",
)
CROSSMODAL_LAYOUT = "captions.jsonl, pictures KEY.jpg in images/"
CLASS_FOLDERS = "a folder for each class, by WordNet id, by number or by name"
V2_FOLDERS = (
    "imagenetv2-matched-frequency-format-val",
    "imagenetv2-threshold0.7-format-val",
    "imagenetv2-top-images-format-val",
    "val",
    "",
)
ACCURACY = ("top1", "top5", "mean_per_class_recall", "one_template_top1")
GROUPED = ("accuracy", "macro_accuracy", "macro_accuracy_of_frequent")

SUITES = (
    Suite(
        "flickr8k",
        "Flickr8k, Karpathy's test split: 1,000 photos, 5 captions each",
        f"dataset_flickr8k.json (Karpathy), {FLICKR_PICTURES}",
        captioned.karpathy("dataset_flickr8k.json", (), captioned.FLICKR_FOLDERS),
        retrieval.captions,
        (*RECALLS, "mean_recall"),
    ),
    Suite(
        "flickr30k",
        "Flickr30k, Karpathy's test split: 1,000 photos, 5 captions each",
        f"dataset_flickr30k.json (Karpathy) or flickr30k_test.json, {FLICKR_PICTURES}",
        captioned.karpathy(
            "dataset_flickr30k.json",
            ("flickr30k_test.json", "annotations/flickr30k_test.json"),
            captioned.FLICKR_FOLDERS,
        ),
        retrieval.captions,
        (*RECALLS, "mean_recall"),
    ),
    Suite(
        "coco",
        "COCO, Karpathy's test split: 5,000 photos, the first 5 captions of each",
        COCO_LAYOUT,
        captioned.karpathy(captioned.COCO_KARPATHY, captioned.COCO_LISTS, captioned.COCO_FOLDERS),
        retrieval.captions,
        (*RECALLS, "mean_recall"),
    ),
    Suite(
        "coco-val2017",
        "COCO val2017: 5,000 photos, the first 5 captions of each",
        "annotations/captions_val2017.json, pictures in val2017/",
        captioned.coco_val2017,
        retrieval.captions,
        (*RECALLS, "mean_recall"),
    ),
    Suite(
        "urban1k",
        "Urban1k of Long-CLIP: 1,000 photos of streets, a long description each",
        "image/N.jpg and caption/N.txt",
        captioned.urban1k,
        retrieval.captions,
        (*RECALLS, BY_WORDS),
    ),
    Suite(
        "sharegpt4v",
        "the first 1,000 pictures of ShareGPT4V, a long description each",
        "share-captioner_coco_lcs_sam_1246k_1107.json or annotations/validation_1k.json, pictures where its rows say, also below data/",
        captioned.share_gpt4v,
        retrieval.captions,
        (*RECALLS, BY_WORDS),
    ),
    Suite(
        "docci",
        "DOCCI's test split: 5,000 photos, a long description each",
        "docci_descriptions.jsonlines, pictures in images/",
        captioned.docci,
        retrieval.captions,
        (*RECALLS, BY_WORDS),
    ),
    Suite(
        "iiw",
        "ImageInWords, the human descriptions",
        "data.jsonl or IIW-400/data.jsonl, pictures KEY.jpg in images/",
        captioned.image_in_words,
        retrieval.captions,
        (*RECALLS, BY_WORDS),
    ),
    Suite(
        "captions",
        "pictures and captions of your own, millions of them",
        "captions.jsonl (or .jsonl.gz) of {image: path in the folder, caption: text or texts}",
        captioned.own,
        retrieval.captions,
        (*RECALLS, BY_WORDS),
    ),
    Suite(
        "multi30k",
        "Multi30k's test split of 2016: 1,000 photos, a caption in each language; both ways, and texts that find the English ones",
        f"test_2016_flickr.LANGUAGE(.gz) in data/task1/raw and test_2016_flickr.txt in data/task1/image_splits, {FLICKR_PICTURES}",
        languages.multi30k,
        retrieval.languages,
        PER_LANGUAGE,
        len,
    ),
    Suite(
        "xm3600",
        "Crossmodal-3600: 3,600 photos, all captions in 36 languages",
        CROSSMODAL_LAYOUT,
        languages.crossmodal(first_alone=False),
        retrieval.languages,
        PER_LANGUAGE,
        len,
    ),
    Suite(
        "crossmodal3600",
        "the same with the first caption of each language alone, as open_clip's benchmark tool has it",
        CROSSMODAL_LAYOUT,
        languages.crossmodal(first_alone=True),
        retrieval.languages,
        PER_LANGUAGE,
        len,
    ),
    Suite(
        "flickr30k-cn",
        "Flickr30k's test photos with Chinese captions",
        f"flickr30k_cn_test.txt, {FLICKR_PICTURES}",
        languages.flickr30k_cn,
        retrieval.languages,
        PER_LANGUAGE,
        len,
    ),
    Suite(
        "coco-cn",
        "COCO-CN's test split: 1,000 photos with Chinese captions",
        "coco-cn_test.txt and imageid.human-written-caption.txt, pictures in train2014/ and val2014/",
        languages.coco_cn,
        retrieval.languages,
        PER_LANGUAGE,
        len,
    ),
    Suite(
        "imagenet",
        "ImageNet's validation pictures, 1,000 names in CLIP's 80 templates",
        f"val/ with {CLASS_FOLDERS}",
        imagenet.imagenet(("val", "validation", "")),
        zero_shot.zero_shot,
        ACCURACY,
    ),
    Suite(
        "imagenet-v2",
        "ImageNetV2, 1,000 names in CLIP's 80 templates",
        "imagenetv2-matched-frequency-format-val/ (or another of its three) with a folder for each class, 0 to 999",
        imagenet.imagenet(V2_FOLDERS),
        zero_shot.zero_shot,
        ACCURACY,
    ),
    Suite(
        "imagenet-a",
        "ImageNet-A, 200 names in CLIP's 80 templates",
        f"imagenet-a/ with {CLASS_FOLDERS}, those of its 200 classes",
        imagenet.imagenet(("imagenet-a", ""), "imagenet_a"),
        zero_shot.zero_shot,
        ACCURACY,
    ),
    Suite(
        "imagenet-r",
        "ImageNet-R, 200 names in CLIP's 80 templates",
        f"imagenet-r/ with {CLASS_FOLDERS}, those of its 200 classes",
        imagenet.imagenet(("imagenet-r", ""), "imagenet_r"),
        zero_shot.zero_shot,
        ACCURACY,
    ),
    Suite(
        "imagenet-sketch",
        "ImageNet-Sketch, 1,000 names in CLIP's 80 templates",
        f"sketch/ with {CLASS_FOLDERS}",
        imagenet.imagenet(("sketch", "imagenet-sketch", "")),
        zero_shot.zero_shot,
        ACCURACY,
    ),
    Suite(
        "imagenet-probe",
        "a linear probe: logistic regression on the vectors of ImageNet's train pictures",
        f"train/ and val/ with {CLASS_FOLDERS}",
        imagenet.imagenet_split,
        zero_shot.linear_probe,
        ACCURACY[:3],
    ),
    Suite(
        "sugarcrepe",
        "SugarCrepe: the right caption against a hard negative, seven kinds",
        "add_att.json, add_obj.json, replace_att.json, … (also in data/), pictures of COCO in val2017/",
        choices.sugar_crepe,
        measured_choices.by_kind,
        ("accuracy", *choices.SUGAR_CREPE),
    ),
    Suite(
        "aro-relation",
        "ARO's Visual Genome relations: which of two things does what to the other",
        "visual_genome_relation.json, pictures in images/",
        choices.visual_genome("visual_genome_relation.json", choices.relation),
        measured_choices.over_groups,
        GROUPED,
    ),
    Suite(
        "aro-attribution",
        "ARO's Visual Genome attributes: which of two things has which",
        "visual_genome_attribution.json, pictures in images/",
        choices.visual_genome("visual_genome_attribution.json", choices.attributes),
        measured_choices.over_groups,
        GROUPED,
    ),
    Suite(
        "coco-order",
        "ARO's order of words on COCO: a caption against its words shuffled",
        "coco_order.json with caption_options, or coco_karpathy_test.json; pictures in val2014/",
        choices.coco_order,
        measured_choices.over_groups,
        ("accuracy",),
    ),
    Suite(
        "flickr30k-order",
        "ARO's order of words on Flickr30k",
        f"flickr30k_order.json with caption_options, or flickr30k_test.json; {FLICKR_PICTURES}",
        choices.flickr_order,
        measured_choices.over_groups,
        ("accuracy",),
    ),
    Suite(
        "sts",
        "STS Benchmark's test split: correlation of cosines with people's scores",
        "sts-test.csv, seven columns between tabs",
        languages.sts_benchmark,
        retrieval.similarity,
        ("spearman", "pearson"),
    ),
    Suite(
        "cra",
        "LLM2CLIP's caption-retrieval accuracy on COCO: the first caption finds the second one",
        f"{COCO_LAYOUT}, or annotations/captions_val2017.json",
        captioned.coco_texts,
        retrieval.caption_retrieval,
        ("cra", "second_to_first", "first_to_any"),
    ),
)

BY_NAME = {row.name: row for row in SUITES}
