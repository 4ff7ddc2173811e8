"""Photos and their captions, both ways; long descriptions and their second halves."""

import torch

from evaluation.bench import Bench, Figures
from towers.compact_recalls import compact_recalls
from towers.data import Row
from towers.metrics import recall_at, retrieval, target_ranks
from towers.text.halves import in_halves

FLICKR_SHARD = "flickr8k/flickr8k-dev-000.tar"
FLICKR_ROWS = "flickr8k/flickr8k-dev.captions.jsonl"
FLICKR_CN = "text/flickr8k-cn.dev.jsonl.gz"
LONG = "text/long-captions.dev.jsonl.gz"


def flickr(bench: Bench) -> Figures:
    """Six recalls of the dev photos and their captions."""
    rows = bench.rows(FLICKR_ROWS)
    return recalls_of(bench, rows, rows)


def flickr_compact(bench: Bench) -> Figures:
    """Mean of the six recalls where vectors are cut, or stored as int8 or bits."""
    rows = bench.rows(FLICKR_ROWS)
    texts_NE = bench.texts([caption for row in rows for caption in row["captions"]])
    found = compact_recalls(
        bench.photos(FLICKR_SHARD, rows), texts_NE, image_of_captions(rows), bench.model.dims, bench.model.quantisation
    )
    return {form: figures["mean_recall"] for form, figures in found.items()}


def flickr_chinese(bench: Bench) -> Figures:
    """The same photos and what people wrote about them in Chinese."""
    captions = {row["key"]: row for row in bench.rows(FLICKR_CN)}
    rows = bench.rows(FLICKR_ROWS)
    return recalls_of(bench, rows, [captions[row["key"]] for row in rows])


def recalls_of(bench: Bench, photos: list[Row], captions: list[Row]) -> Figures:
    """Row n of `captions` is of row n of `photos`."""
    texts_NE = bench.texts([caption for row in captions for caption in row["captions"]])
    return retrieval(bench.photos(FLICKR_SHARD, photos), texts_NE, image_of_captions(captions))


def image_of_captions(rows: list[Row]) -> torch.Tensor:
    """Of every caption the number of its row [N]."""
    return torch.tensor([number for number, row in enumerate(rows) for _ in row["captions"]])


def long_descriptions(bench: Bench) -> Figures:
    """The first half of every description finds its second half among all second halves."""
    halves = [in_halves(row["captions"][0]["text"]) for row in bench.rows(LONG)]
    pairs = [pair for pair in halves if pair is not None]
    first_NE, second_NE = (bench.texts([pair[side] for pair in pairs]) for side in (0, 1))
    rank_N = target_ranks(first_NE @ second_NE.T, torch.arange(len(pairs)))
    return {f"half_to_half_R@{k}": recall_at(rank_N, k) for k in (1, 5)}
