"""ImageNet and its sets of other pictures: a folder for each class, named by WordNet id, by number or by name.

Names are the ones that CLIP's authors wrote for their prompts, as open_clip carries them; WordNet ids in the order of the 1,000
classes, and those of ImageNet-A and -R, as timm carries them.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from evaluation.layouts.files import WrongLayout, first_folder
from evaluation.layouts.items import Labelled, Picture, PictureList

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"}
SHOWN = 3  # unknown or missing classes in a refusal


@dataclass(frozen=True)
class Split:
    """Train and test pictures with the same classes."""

    train: Labelled
    test: Labelled


def synsets(which: str) -> list[str]:
    """WordNet ids of `imagenet` (in the order of the classes), `imagenet_a` or `imagenet_r`."""
    text = resources.files("timm.data").joinpath(f"_info/{which}_synsets.txt").read_text(encoding="utf-8")
    return text.split()


def imagenet(folders: tuple[str, ...], which: str = "imagenet") -> Callable[[Path], Labelled]:
    """A reader of the first of the folders that is there. Classes of the subset `which` alone, and all of them, have to be there."""

    def read(folder: Path) -> Labelled:
        return labelled(first_folder(folder, folders), synsets(which))

    return read


def imagenet_split(folder: Path) -> Split:
    """`train` and `val` of ImageNet, for a linear probe."""
    train, test = first_folder(folder, ("train",)), first_folder(folder, ("val", "validation"))
    return Split(labelled(train, synsets("imagenet")), labelled(test, synsets("imagenet")))


def labelled(folder: Path, chosen: Sequence[str]) -> Labelled:
    """The pictures of the class folders in `folder`, whose names are of the classes with the WordNet ids `chosen`."""
    # open_clip takes seconds to import.
    from open_clip import IMAGENET_CLASSNAMES

    everything = synsets("imagenet")
    index_of = {wnid: number for number, wnid in enumerate(everything)}
    number_of = class_numbers([(wnid, index_of[wnid], IMAGENET_CLASSNAMES[index_of[wnid]]) for wnid in chosen])
    there = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    unknown = [path.name for path in there if path.name not in number_of]
    if unknown or not there:
        found = f"has {', '.join(unknown[:SHOWN])}" if unknown else "has none"
        raise WrongLayout(
            f"{folder} should hold a folder for each of {len(chosen)} classes (n01440764, 0 or tench), it {found}"
        )
    of_class: dict[int, str] = {}
    for path in there:
        other = of_class.setdefault(number_of[path.name], path.name)
        if other != path.name:
            raise WrongLayout(f"{folder} has two folders of one class, {other} and {path.name}: remove one of them")
    missing = set(range(len(chosen))) - {number_of[path.name] for path in there}
    if missing:
        examples = ", ".join(chosen[number] for number in sorted(missing)[:SHOWN])
        raise WrongLayout(f"{folder} lacks {len(missing)} of {len(chosen)} classes, for instance {examples}")
    pictures, class_of = PictureList(), array("q")
    for path in there:
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
        if not files:
            raise WrongLayout(f"{path} holds no picture")
        for file in files:
            pictures.append(Picture(file))
        class_of.extend([number_of[path.name]] * len(files))
    return Labelled(pictures, class_of, [IMAGENET_CLASSNAMES[index_of[wnid]] for wnid in chosen])


def class_numbers(classes: Sequence[tuple[str, int, str]]) -> dict[str, int]:
    """The place of a class by its WordNet id, by its number of 1,000 and by its name, of (id, number, name)."""
    found: dict[str, int] = {}
    for place, (wnid, index, name) in enumerate(classes):
        found |= {wnid: place, str(index): place, name.replace("/", "_"): place}
    return found
