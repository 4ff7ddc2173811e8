"""Retrieval benchmarks: pictures with captions, short or long, in one language."""

from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from evaluation.layouts.files import (
    WrongLayout,
    first_file,
    first_folder,
    picture_in,
    read_json,
    read_jsonl,
    read_text,
    text_in,
    texts_in,
    value_of,
)
from evaluation.layouts.items import Captioned, Picture, PictureList
from evaluation.streaming.lists import Chosen, TextList
from evaluation.streaming.rows import numbered
from towers.text.unicode import whole

FLICKR_FOLDERS = (
    "",
    "images",
    "Images",
    "flickr30k-images",
    "flickr30k_images",
    "Flicker8k_Dataset",
    "Flickr8k_Dataset",
)
COCO_FOLDERS = ("", "images", "val2014", "val2017")
COCO_KARPATHY = "dataset_coco.json"
COCO_LISTS = ("coco_karpathy_test.json", "annotations/coco_karpathy_test.json")
COCO_VAL2017 = ("annotations/captions_val2017.json", "captions_val2017.json")
# Of the 5,000 test images of COCO some have six or seven captions. The published figures are of five each.
CAPTIONS = 5
SHARE_GPT_ROWS = 1000  # the first rows, which its authors do not train on
FindPicture = Callable[[Path, Sequence[str], str], Picture]


def karpathy(
    name: str, lists: tuple[str, ...], folders: tuple[str, ...], find: FindPicture = picture_in
) -> Callable[[Path], Captioned]:
    """The test split of Karpathy's `dataset_NAME.json`, or a list of {image, caption: [...]} as ALBEF and LLM2CLIP read it."""

    def read(folder: Path) -> Captioned:
        file = first_file(folder, (name, f"annotations/{name}", *lists))
        if not file.name.startswith("dataset_"):
            return from_list(folder, file, folders, find)
        found = Captioned()
        for row in value_of(read_json(file, dict), "images", file):
            if value_of(row, "split", file) == "test":
                below = [str(Path(part, row.get("filepath", ""))) for part in folders]
                picture = find(folder, below, value_of(row, "filename", file))
                sentences = value_of(row, "sentences", file)[:CAPTIONS]
                found.add(picture, [text_in(sentence, "raw", file) for sentence in sentences])
        return some(found, file, CAPTIONS)

    return read


def from_list(folder: Path, file: Path, folders: tuple[str, ...], find: FindPicture) -> Captioned:
    """[{image: path, caption: text or texts}, ...]."""
    found = Captioned()
    for row in read_json(file, list):
        captions = texts_in(row, "caption", file)
        found.add(find(folder, folders, value_of(row, "image", file)), captions)
    return some(found, file, CAPTIONS)


def coco_texts(folder: Path) -> Captioned:
    """The captions of any of COCO's layouts, for measures that look at no picture: none has to be there."""
    file = first_file(folder, (COCO_KARPATHY, f"annotations/{COCO_KARPATHY}", *COCO_LISTS, *COCO_VAL2017))
    if file.name in {Path(name).name for name in COCO_VAL2017}:
        return coco_val2017(folder, by_name_alone)
    return karpathy(COCO_KARPATHY, COCO_LISTS, COCO_FOLDERS, by_name_alone)(folder)


def by_name_alone(folder: Path, _: Sequence[str], name: str) -> Picture:
    """A picture that nobody will open."""
    return Picture(folder / name)


def coco_val2017(folder: Path, find: FindPicture = picture_in) -> Captioned:
    """`annotations/captions_val2017.json` and the pictures in `val2017`."""
    file = first_file(folder, COCO_VAL2017)
    document = read_json(file, dict)
    captions: dict[int, list[str]] = {}
    for row in value_of(document, "annotations", file):
        captions.setdefault(value_of(row, "image_id", file), []).append(text_in(row, "caption", file).strip())
    found = Captioned()
    for row in value_of(document, "images", file):
        picture = find(folder, ("val2017", "images", "images/val2017", ""), value_of(row, "file_name", file))
        found.add(picture, captions.get(value_of(row, "id", file), []))
    return some(found, file, CAPTIONS)


def urban1k(folder: Path) -> Captioned:
    """Long-CLIP's Urban1k: `image/N.jpg` and its description in `caption/N.txt`."""
    captions, images = first_folder(folder, ("caption",)), first_folder(folder, ("image",))
    found = Captioned()
    described = {file.stem for file in captions.glob("*.txt")}
    without = sorted(file.name for file in images.glob("*.jpg") if file.stem not in described)
    if without:
        raise WrongLayout(f"{captions} has no description of {len(without)} pictures, for instance {without[0]}")
    for file in sorted(captions.glob("*.txt")):
        found.add(picture_in(images, ("",), f"{file.stem}.jpg"), [read_text(file).strip().split("\n")[0]])
    return some(found, captions)


def share_gpt4v(folder: Path) -> Captioned:
    """The first 1,000 rows of ShareGPT4V's captions: the picture's path, and what the assistant answered."""
    names = ("share-captioner_coco_lcs_sam_1246k_1107.json", "annotations/validation_1k.json", "validation_1k.json")
    file = first_file(folder, names)
    found = Captioned()
    for row in read_json(file, list)[:SHARE_GPT_ROWS]:
        if isinstance(row, dict) and "conversations" in row:
            answers = [turn["value"] for turn in row["conversations"] if turn.get("from") == "gpt"]
            if not answers:
                raise WrongLayout(f"{file}: the row of {row.get('image')} has no answer from 'gpt'")
            text = whole(str(answers[0]))
        else:
            text = text_in(row, "caption", file)
        found.add(picture_in(folder, ("", "data", "images"), value_of(row, "image", file)), [text.replace("\n", " ")])
    return some(found, file)


def docci(folder: Path) -> Captioned:
    """The test split of `docci_descriptions.jsonlines`, pictures in `images`."""
    file = first_file(folder, ("docci_descriptions.jsonlines",))
    found = Captioned()
    for row in read_jsonl(file):
        if value_of(row, "split", file) == "test":
            picture = picture_in(folder, ("images", ""), value_of(row, "image_file", file))
            found.add(picture, [text_in(row, "description", file)])
    return some(found, file)


def image_in_words(folder: Path) -> Captioned:
    """ImageInWords: rows with the picture's key and the human description `IIW`, pictures KEY.jpg in `images`."""
    file = first_file(folder, ("data.jsonl", "IIW-400/data.jsonl", "datasets/IIW-400/data.jsonl"))
    found = Captioned()
    for row in read_jsonl(file):
        key = row["image/key"] if "image/key" in row else value_of(row, "image", file)
        name = key if Path(key).suffix else f"{key}.jpg"
        found.add(picture_in(folder, ("images", "", "images_aar"), name), [text_in(row, "IIW", file)])
    return some(found, file)


def own(folder: Path) -> Captioned:
    """`captions.jsonl` of {image, caption: text or texts}, read line by line; paths are relative to the folder."""
    file = first_file(folder, ("captions.jsonl", "captions.jsonl.gz"))
    found = Captioned()
    for row in read_jsonl(file):
        image = value_of(row, "image", file)
        captions = texts_in(row, "caption", file)
        if not all(text.strip() for text in captions):
            raise WrongLayout(f"{file}: a caption of {image} is empty")
        found.add(picture_in(folder, ("",), image), captions)
    return some(found, file)


def some(found: Captioned, source: Path, most: int | None = None) -> Captioned:
    """The set with each picture once, and its first `most` texts (None: all). Refuses a set of nothing, and pictures without a caption."""
    found = joined(found, most)
    if not found.texts:
        raise WrongLayout(f"{source} names no captioned pictures of the test split")
    without = np.flatnonzero(np.bincount(found.picture_of, minlength=len(found.pictures)) == 0)
    if len(without):
        raise WrongLayout(f"{source}: {found.pictures[int(without[0])].file.name} has no caption")
    return found


def joined(found: Captioned, most: int | None = None) -> Captioned:
    """The same with each picture once, where several rows name it, and its first `most` texts.

    A picture that is there twice would tie with itself, and every tie counts against the model.
    """
    _, number_I = numbered(found.pictures.lines)
    of_text_N = number_I[np.asarray(found.picture_of)]
    order_N = np.argsort(of_text_N, kind="stable")
    count_of = np.bincount(of_text_N, minlength=number_I.max(initial=-1) + 1)
    place_N = np.arange(len(order_N)) - np.repeat(np.cumsum(count_of) - count_of, count_of)
    kept_N = order_N if most is None else order_N[place_N < most]
    if len(count_of) == len(number_I) and len(kept_N) == len(order_N) and (np.diff(order_N) == 1).all():
        return found
    firsts = np.unique(number_I, return_index=True)[1]
    pictures = PictureList(found.pictures[int(first)] for first in firsts)
    return Captioned(pictures, TextList(Chosen(found.texts, kept_N)), array("q", of_text_N[kept_N].tolist()))
