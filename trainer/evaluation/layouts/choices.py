"""Benchmarks of composition: a picture, its right text, and texts that are wrong by a word or by their order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evaluation.layouts.captioned import COCO_FOLDERS, FLICKR_FOLDERS
from evaluation.layouts.files import WrongLayout, first_file, picture_in, read_json, text_in, texts_in, value_of
from evaluation.layouts.items import Choices, Picture
from evaluation.layouts.word_order import as_aro, shuffled

SUGAR_CREPE = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")
VAL2017 = ("val2017", "images/val2017", "images", "coco/val2017", "")


def sugar_crepe(folder: Path) -> Choices:
    """SugarCrepe: a file for each of seven kinds, {"0": {filename, caption, negative_caption}}, pictures of COCO val2017."""
    found = Choices()
    for kind in SUGAR_CREPE:
        file = first_file(folder, (f"{kind}.json", str(Path("data", f"{kind}.json"))))
        for row in filled(read_json(file, dict), file).values():
            found.pictures.append(picture_in(folder, VAL2017, value_of(row, "filename", file)))
            found.options.append([text_in(row, "caption", file), text_in(row, "negative_caption", file)])
            found.groups.append(kind)
    return found


def visual_genome(name: str, group: Callable[[Any], str]) -> Callable[[Path], Choices]:
    """ARO's relations or attributes: a box of a picture, a true caption and a false one."""

    def read(folder: Path) -> Choices:
        file = first_file(folder, (name,))
        found = Choices()
        for row in filled(read_json(file, list), file):
            left, top, width, height = (int(value_of(row, f"bbox_{side}", file)) for side in "xywh")
            picture = picture_in(folder, ("images", ""), value_of(row, "image_path", file))
            found.pictures.append(Picture(picture.file, (left, top, left + width, top + height)))
            found.options.append([text_in(row, "true_caption", file), text_in(row, "false_caption", file)])
            found.groups.append(group(row))
        return found

    return read


def filled(cases: Any, file: Path) -> Any:
    """A kind without a case would leave the mean over kinds: the figure would be another one."""
    if not cases:
        raise WrongLayout(f"{file} holds no case")
    return cases


def relation(row: Any) -> str:
    """What ARO counts relations by."""
    return str(row.get("relation_name", ""))


def attributes(row: Any) -> str:
    """What ARO counts attributes by."""
    return "_".join(map(str, row.get("attributes", [])[:2]))


def order(names: tuple[str, ...], folders: tuple[str, ...]) -> Callable[[Path], Choices]:
    """ARO's COCO and Flickr30k order: captions against the same words in another order.

    Rows with `caption_options`, the right one first, are taken as they are; of rows with `caption` the shuffles are made here. A
    wrong text that reads as the right one is none, and a caption without a wrong one no case.
    """

    def read(folder: Path) -> Choices:
        file = first_file(folder, names)
        found = Choices()
        for row in read_json(file, list):
            picture = picture_in(folder, folders, value_of(row, "image", file))
            for case in cases_of(row, file):
                right, *wrong = map(as_aro, case)
                options = [right, *(text for text in wrong if text != right)]
                if len(options) > 1:
                    found.pictures.append(picture)
                    found.options.append(options)
                    found.groups.append("caption_options" if "caption_options" in row else "shuffled")
        if not found.options:
            raise WrongLayout(f"{file}: no caption has a wrong one")
        return found

    return read


def cases_of(row: Any, file: Path) -> list[list[str]]:
    """The right text and wrong ones, of each case of a row."""
    if "caption_options" not in row:
        return [shuffled(text) for text in texts_in(row, "caption", file)]
    options = list(map(str, row["caption_options"]))
    if len(options) < 2:
        raise WrongLayout(f"{file}: {row['image']} has a right caption and no wrong one")
    return [options]


coco_order = order(("coco_order.json", "coco_karpathy_test.json"), COCO_FOLDERS)
flickr_order = order(("flickr30k_order.json", "flickr30k_test.json"), FLICKR_FOLDERS)
