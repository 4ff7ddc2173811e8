"""Ranks by tiles against the whole matrix, ties and all; vectors in files, interrupted and shared."""

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.world import ALONE_ON_CPU, World
from evaluation.layouts.items import Picture, PictureList
from evaluation.progress import Progress
from evaluation.streaming.lists import TextList
from evaluation.streaming.ranks import Place, streamed_ranks
from evaluation.streaming.rows import Rows, numbered, rows_in_file, stored_rows
from evaluation.suites.retrieval import asked_ranks
from towers.metrics import retrieval_ranks


class Given:
    """Vectors that are counted as they are computed."""

    def __init__(self, vectors):
        self.vectors, self.begun, self.asked = vectors, [], []

    def begin(self, count):
        self.begun.append(count)

    def compute(self, start, end):
        self.asked.append((start, end))
        return self.vectors[start:end]


def stored(folder, vectors, dtype: type[np.floating] = np.float32):
    return stored_rows(folder, len(vectors), dtype, Given(vectors), ALONE_ON_CPU)


@pytest.mark.parametrize(("tile_images", "tile_texts"), [(7, 5), (64, 64), (1000, 3), (1, 1000)])
def test_ranks_by_tiles_are_those_of_the_whole_matrix(tmp_path, tile_images, tile_texts):
    # Small whole numbers multiply exactly in any order, and tie often.
    rng = np.random.default_rng(tile_images)
    images_IE = rng.integers(-2, 3, (90, 6)).astype(np.float32)
    texts_NE = rng.integers(-2, 3, (200, 6)).astype(np.float32)
    texts_NE[7] = np.nan
    images_IE[3] = np.nan
    picture_of = np.sort(rng.integers(0, 89, 200))  # the last image has no text, some have many
    images, texts = (stored(tmp_path / name, each) for name, each in (("i", images_IE), ("t", texts_NE)))
    place = Place(ALONE_ON_CPU, Progress(quiet=True), tile_images, tile_texts)
    found = streamed_ranks(images, texts, picture_of, place)
    scores_IN = torch.from_numpy(images_IE) @ torch.from_numpy(texts_NE).T
    image_rank_I, text_rank_N = retrieval_ranks(scores_IN, torch.from_numpy(picture_of))
    assert found.of_image_I.tolist() == image_rank_I.tolist()
    assert found.of_text_N.tolist() == text_rank_N.tolist()
    usable_I, usable_N = np.arange(90) != 3, np.arange(200) != 7
    best = scores_IN.nan_to_num(-1e9)
    assert (best[np.arange(90), found.first_text_I] == best.max(1).values)[usable_I].all()
    assert (best[found.first_image_N, np.arange(200)] == best.max(0).values)[usable_N].all()


def test_a_sample_has_the_ranks_that_the_whole_matrix_gives_it(tmp_path):
    rng = np.random.default_rng(5)
    images_IE, texts_NE = (rng.integers(-2, 3, (count, 6)).astype(np.float32) for count in (90, 200))
    picture_of = np.sort(rng.integers(0, 90, 200))
    images, texts = (stored(tmp_path / name, each) for name, each in (("i", images_IE), ("t", texts_NE)))
    place = Place(ALONE_ON_CPU, Progress(quiet=True), 16, 32)
    found, asked_I, asked_N = asked_ranks(images, texts, picture_of, 25, place)
    scores_IN = torch.from_numpy(images_IE) @ torch.from_numpy(texts_NE).T
    image_rank_I, text_rank_N = retrieval_ranks(scores_IN, torch.from_numpy(picture_of))
    assert len(set(asked_I.tolist())) == len(set(asked_N.tolist())) == 25
    assert found.of_image_I.tolist() == image_rank_I[asked_I].tolist()
    assert found.of_text_N.tolist() == text_rank_N[asked_N].tolist()
    assert (scores_IN[asked_I, found.first_text_I] == scores_IN[asked_I].max(1).values).all()
    assert (scores_IN[found.first_image_N, asked_N] == scores_IN[:, asked_N].max(0).values).all()
    # Of fewer than the sample all are ranked, and the same are drawn again.
    assert [len(each) for each in asked_ranks(images, texts, picture_of, 150, place)[1:]] == [90, 150]
    assert asked_ranks(images, texts, picture_of, 25, place)[2].tolist() == asked_N.tolist()
    assert asked_ranks(images, texts, picture_of, 200, place)[0].of_text_N.tolist() == text_rank_N.tolist()


def test_a_list_on_the_disk_gives_back_what_was_put_in():
    texts = ["", "a dog", "犬 👍🏽\n", "half of a pair \ud83d"] * 3000
    found = TextList(texts)
    assert (len(found), list(found), found[-1], found[4000:4003]) == (12000, texts, texts[-1], texts[4000:4003])
    assert (found[11990:20000], found[5:2], found[::6000]) == (texts[11990:], [], ["", ""])
    with pytest.raises(IndexError):
        found[12000]
    found.append("more")
    assert found[12000] == "more"
    pictures = [Picture(tmp, box) for tmp in map(Path, ["/a|b.jpg", "/Fuß/ü.png"]) for box in (None, (1, 2, 3, 4))]
    assert list(PictureList(pictures)) == pictures == PictureList(pictures)[:]


def test_files_of_rows_are_computed_once_and_read_in_any_order(tmp_path):
    count = 64 * 256 + 100
    vectors = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    assert rows_in_file(count) == 65
    rows = stored(tmp_path, vectors, np.float16)
    chosen = np.array([count - 1, 0, 64, 65, 66, 0])
    assert np.allclose(rows.take(chosen), vectors[chosen], atol=2e-3)
    assert np.allclose(rows.part(60, 140), vectors[60:140], atol=2e-3)
    assert rows.take(chosen).dtype == np.float32
    # Of two files that are gone, those alone are computed again.
    for number in (1, 200):
        (tmp_path / f"{number:06}.npy").unlink()
    again = Given(vectors)
    stored_rows(tmp_path, count, np.float16, again, ALONE_ON_CPU)
    assert again.begun == [130]
    assert again.asked == [(65, 130), (13000, 13065)]


def test_equal_texts_share_a_row(tmp_path):
    texts = ["z", *(["b", "a", "b", "c"] * 2), "y"]
    many, number_of = numbered(TextList(texts))
    assert (list(many), [many[number] for number in number_of]) == (["z", "b", "a", "c", "y"], texts)
    different, index = numbered(["b", "a", "b"])
    assert (list(different), index.tolist()) == (["b", "a"], [0, 1, 0])
    rows = stored(tmp_path, np.eye(2, dtype=np.float32))
    assert Rows(rows.folder, 2, index).part(0, 3).tolist() == [[1, 0], [0, 1], [1, 0]]


def test_an_interrupted_write_leaves_no_file_that_is_read(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        stored(tmp_path, np.eye(2, dtype=np.float32))
    monkeypatch.undo()
    assert stored(tmp_path, np.eye(2, dtype=np.float32)).part(0, 2).tolist() == [[1, 0], [0, 1]]


def test_a_process_computes_its_part_of_the_files(tmp_path):
    # Two of two processes, one after the other: the second finds what the first wrote.
    vectors = np.random.default_rng(1).normal(size=(300, 2)).astype(np.float32)
    first = Given(vectors)
    stored_rows(tmp_path, 300, np.float32, first, World(0, 2, 0, torch.device("cpu")))
    assert first.asked == [(0, 64), (64, 128)]
    second = Given(vectors)
    rows = stored_rows(tmp_path, 300, np.float32, second, ALONE_ON_CPU)
    assert second.asked == [(128, 192), (192, 256), (256, 300)]
    assert np.array_equal(rows.part(0, 300), vectors)
