"""What `contrastive` learns from: groups of texts of one thing, read one by one and never held as objects."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from contracts.types import ContrastiveConfig
from engine.run import Run
from towers.data import Row, each_pair, each_text_row
from towers.labels import normalised_label
from towers.text_tables import GroupTable

DEV_PAIRS = 500  # what the figure on the way is measured on
Group = tuple[str, list[str]]  # the normalised name of a concept, and its texts: at least two


class NamedGroups(Sequence[Group]):
    """Groups with names, in a table in which the name is the first text of each."""

    def __init__(self, folder: Path, groups: Iterable[Group]) -> None:
        self.table = GroupTable.of(folder, ([name, *texts] for name, texts in groups))

    def __len__(self) -> int:
        """Groups."""
        return len(self.table)

    def __getitem__(self, place: int) -> Group:  # pyright: ignore[reportIncompatibleMethodOverride] - no slices
        """One group."""
        name, *texts = self.table[place]
        return name, texts


class Groups(NamedTuple):
    """Groups of captions, of what is known of a concept, of passages and long descriptions; of dev two captions of an image."""

    captions: Sequence[list[str]]
    concepts: Sequence[Group] = ()
    passages: Sequence[list[str]] = ()
    long: Sequence[list[str]] = ()  # halves of long descriptions, where they have a share of their own
    dev: Sequence[list[str]] = ()


def read_groups(run: Run[ContrastiveConfig], prepared: Path) -> Groups:
    """Those of a run of `prepare`; long descriptions are cut in halves."""
    config, pairs = run.config, each_pair(prepared, "train")
    documents = each_text_row(prepared, "plain", "train") if config.get("document_fraction", 0) else ()
    share_of_long = config.get("long_fraction")
    descriptions = long_groups(prepared) if share_of_long else ()
    several = (row["captions"][:2] for row in each_pair(prepared, "dev") if len(row["captions"]) > 1)
    return Groups(
        GroupTable.of(run.output, caption_groups(prepared, with_long=share_of_long is None)),
        NamedGroups(run.output, concept_groups(each_text_row(prepared, "concepts", "train"), pairs)),
        GroupTable.of(
            run.output, (part for row in documents for part in passages_of(row["text"], config["max_tokens"]))
        ),
        GroupTable.of(run.output, descriptions),
        list(islice(several, DEV_PAIRS)),
    )


def caption_groups(prepared: Path, *, with_long: bool = True) -> Iterator[list[str]]:
    """Captions of one image where there are several, groups that are texts alone and, `with_long`, long descriptions in halves."""
    for row in each_pair(prepared, "train"):
        if "label" not in row and len(row["captions"]) > 1:
            yield row["captions"]
    for row in each_text_row(prepared, "groups", "train"):
        if len(row["captions"]) > 1:
            yield row["captions"]
    if with_long:
        yield from long_groups(prepared)


def long_groups(prepared: Path) -> Iterator[list[str]]:
    """Long descriptions, each cut in halves."""
    for row in each_text_row(prepared, "long", "train"):
        yield halves(row["captions"][0])


def concept_groups(concepts: Iterable[Row], pairs: Iterable[Row]) -> Iterator[Group]:
    """The texts of every concept, and the captions that were made of every label of a picture."""
    for row in concepts:
        texts = [*row["names"], f"a photo of a {row['name']}.", *row["descriptions"]]
        texts += [row["gloss"]] if row["gloss"] else []
        texts += [f"{name}, a kind of {row['hypernyms'][0]}" for name in row["names"][:1] if row["hypernyms"]]
        texts = list(dict.fromkeys(texts))
        if len(texts) > 1:
            yield normalised_label(row["name"]), texts
    labels = {normalised_label(row["label"]): row["captions"] for row in pairs if row.get("prompted")}
    yield from (group for group in labels.items() if len(group[1]) > 1)


def halves(text: str) -> list[str]:
    """A long description as two positives: its first and its second half, cut at a sentence where there is one."""
    sentences = text.replace("! ", ". ").replace("? ", ". ").split(". ")
    if len(sentences) > 1:
        middle = len(sentences) // 2
        return [". ".join(sentences[:middle]), ". ".join(sentences[middle:])]
    words = text.split()
    return [" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])]


def passages_of(text: str, max_tokens: int) -> list[list[str]]:
    """The halves of consecutive passages of a document, each half about as long as what is read of it.

    A word is 1.3 tokens or more, so three words for two tokens in a passage fill both halves. Tails under 16 words go.
    """
    words, size = text.split(), max(16, 3 * max_tokens // 2)
    passages = [words[start : start + size] for start in range(0, len(words), size)]
    return [halves(" ".join(passage)) for passage in passages if len(passage) >= 16]
