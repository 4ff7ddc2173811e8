"""Folders that several containers write to, in each of which the process has the number 1."""

import os

import numpy as np
import pytest

from engine.folders.files import replacing
from engine.world import ALONE_ON_CPU
from evaluation.cache import VectorCache
from evaluation.streaming.rows import stored_rows

VECTORS = np.arange(200, dtype=np.float32).reshape(100, 2)


class Given:
    """Vectors that need not be computed."""

    def begin(self, count):
        """Nobody is told."""

    def compute(self, start, end):
        """Some of them."""
        return VECTORS[start:end]


def cached(folder):
    """What the cache of `npm run evaluate` holds of one set."""
    return VectorCache(folder).vectors(["a set"], lambda: VECTORS)


def streamed(folder):
    """What a suite's folder holds."""
    return stored_rows(folder, len(VECTORS), np.float32, Given(), ALONE_ON_CPU).part(0, len(VECTORS))


@pytest.mark.parametrize("write", [cached, streamed])
def test_a_container_finishes_a_file_that_another_one_is_writing(write, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)
    save, there = np.save, []

    def save_later(out, vectors):
        monkeypatch.setattr(np, "save", save)
        np.testing.assert_array_equal(write(tmp_path), VECTORS)
        there.extend(sorted(file.name for file in tmp_path.glob("*.npy")))
        save(out, vectors)

    monkeypatch.setattr(np, "save", save_later)
    np.testing.assert_array_equal(write(tmp_path), VECTORS)
    np.testing.assert_array_equal(write(tmp_path), VECTORS)
    assert sorted(os.listdir(tmp_path)) == there


def test_a_file_whose_writing_fails_is_left_as_it_was(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("before")
    with pytest.raises(OSError, match="full"), replacing(file) as out:
        out.write(b"half")
        raise OSError("full")
    assert (os.listdir(tmp_path), file.read_text()) == (["a.txt"], "before")


def test_others_may_read_a_new_file_as_they_may_any(tmp_path):
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "new") as out:
        out.write(b"new")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode
