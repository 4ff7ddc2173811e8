"""Folders and files that a user may not list or read: what lies beside them is read all the same, or a sentence says which."""

import encodings.utf_8_sig  # noqa: F401  (a user may not read Python's own files where root installed it)
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from towers.formats.item import FormatError
from towers.formats.table import read_items

NOBODY = 65534  # rights do not count for root


@contextmanager
def as_a_user() -> Iterator[None]:
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of folders of users, as /home is, to which everyone may go: those above `tmp_path` are closed."""
    folder = Path(tempfile.mkdtemp())
    (folder / "me" / "photos").mkdir(parents=True)
    (folder / "me" / "photos" / "1.jpg").write_bytes(b"one")
    (folder / "me" / "photos" / "2.jpg").write_bytes(b"two")
    folder.chmod(0o755)
    yield folder
    for path in (folder, folder / "me", folder / "me" / "photos"):
        path.chmod(0o755)
    shutil.rmtree(folder)


def table(home: Path, *names: str) -> Path:
    file = home / "me" / "shop.csv"
    file.write_text("image,caption\n" + "".join(f"{name},a vase\n" for name in names))
    return file


@pytest.mark.parametrize("mode", [0o111, 0o444])  # none may list it; none may enter what is in it
def test_a_folder_above_that_may_not_be_listed_hides_no_image_below(home, mode):
    file = table(home, "1.jpg", "2.jpg")
    closed = home if mode == 0o111 else home / "me" / "closed"
    closed.mkdir(exist_ok=True)
    (closed / "images").mkdir(exist_ok=True)
    closed.chmod(mode)
    with as_a_user():
        assert [item.load() for item in read_items(file).items] == [b"one", b"two"]


def test_images_in_a_folder_that_may_not_be_listed_are_read_by_their_whole_names(home):
    file = table(home, "photos/1.jpg", "photos/2")
    (home / "me" / "photos").chmod(0o111)
    with as_a_user():
        first, second = read_items(file).items
        assert first.load() == b"one"
        with pytest.raises(FileNotFoundError, match=r"there is no file .*photos/2"):
            second.load()


def test_data_that_may_not_be_read_are_named(home):
    file = table(home, "photos/1.jpg")
    file.chmod(0o000)
    with as_a_user(), pytest.raises(FormatError, match=r"shop\.csv cannot be read: Permission denied"):
        read_items(file)
    (home / "me").chmod(0o444)
    with as_a_user(), pytest.raises(FormatError, match=r"there is no .*shop\.csv"):
        read_items(file)
