"""Tars with a member that cannot be read: it is lost, is told of, and the others are there."""

import gzip
import io
import tarfile

import pytest
from PIL import Image

from contracts.types import PairSource
from towers.formats.item import Columns, FormatError
from towers.formats.table import read_items
from towers.sources import read_samples, sources_of

COUNT = 6
BLOCK = tarfile.BLOCKSIZE


def tar_of(file, name="{}", layout=tarfile.USTAR_FORMAT):
    """A tar of six pictures, each with a text behind it: (its bytes, the members by name)."""
    with tarfile.open(file, "w", format=layout) as archive:
        for number in range(COUNT):
            picture = io.BytesIO()
            Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(picture, "PNG")
            for ending, data in (("png", picture.getvalue()), ("txt", b"picture %d" % number)):
                member = tarfile.TarInfo(f"{name.format(number)}.{ending}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    with tarfile.open(file) as archive:
        return bytearray(file.read_bytes()), {member.name: member for member in archive}


def readable(path):
    """What `any` reads: number of the picture by its caption, and the notes."""
    found = read_items(path, Columns())
    opened = {
        item.captions[0]: Image.open(io.BytesIO(item.load())).convert("RGB").getpixel((0, 0)) for item in found.items
    }
    assert all(colour == (40 * int(caption[-1]), 0, 0) for caption, colour in opened.items())
    return [int(caption[-1]) for caption in opened], found.notes


def overwritten(at, data):
    """A fault: bytes from that place of a member's header on are others."""

    def damage(tar, member):
        tar[member.offset + at : member.offset + at + len(data)] = data

    return damage


def bytes_missing(tar, member):
    del tar[member.offset + 100 : member.offset + 140]


FAULTS = {
    "a wrong checksum": overwritten(148, b"777777"),
    "another name": overwritten(0, b"other"),
    "a size that is no number": overwritten(124, b"no number"),
    "zeros": overwritten(0, bytes(BLOCK)),
    "zeros as at the end of a tar": overwritten(0, bytes(2 * BLOCK)),
    "noise, and a part of the picture": overwritten(0, bytes(range(1, 256)) * 3),
    "bytes that are missing": bytes_missing,
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_picture_whose_header_is_damaged_is_lost_alone(tmp_path, fault, packed):
    path = tmp_path / ("shop.tar.gz" if packed else "shop.tar")
    tar, members = tar_of(tmp_path / "whole.tar")
    FAULTS[fault](tar, members["2.png"])
    path.write_bytes(gzip.compress(tar) if packed else tar)
    (tmp_path / "whole.tar").unlink()
    numbers, notes = readable(path)
    assert numbers == [0, 1, 3, 4, 5]
    place = members["2.png"].offset
    assert notes[1:] == [f"{path.name} is damaged at byte {place}: what it had there is left out"]


@pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
@pytest.mark.parametrize("block", [0, 2], ids=["its name", "its size"])
def test_so_is_one_with_a_long_name_whose_headers_are_several(tmp_path, layout, block):
    path = tmp_path / "shop.tar"
    name = "long" * 30 + "{}"
    tar, members = tar_of(path, name, layout)
    overwritten(block * BLOCK + 148, b"777777")(tar, members[f"{name.format(2)}.png"])
    path.write_bytes(tar)
    found = read_items(path, Columns())
    whole = {item.key: item.captions for item in found.items if item.captions}
    assert [key[-1] for key in whole] == list("01345")


def test_the_last_member_is_told_of_too_and_a_whole_tar_of_nothing(tmp_path):
    path = tmp_path / "shop.tar"
    tar, members = tar_of(path)
    assert readable(path) == ([0, 1, 2, 3, 4, 5], ["shop.tar: a WebDataset shard"])
    place = members["5.txt"].offset
    tar[place : place + 5] = b"other"
    path.unlink()
    other = tmp_path / "other.tar"
    other.write_bytes(tar)
    found = read_items(other, Columns())
    assert found.notes[1:] == [f"other.tar is damaged at byte {place}: what it had there is left out"]


def test_a_tar_that_is_cut_off_within_a_member_is_refused(tmp_path):
    path = tmp_path / "shop.tar"
    tar, members = tar_of(path)
    path.write_bytes(tar[: members["3.png"].offset_data + 10])
    with pytest.raises(FormatError, match=r"shop\.tar cannot be read as tar: unexpected end of data"):
        read_items(path, Columns())


def test_a_shard_counts_what_it_lost_among_what_is_dropped(tmp_path):
    path = tmp_path / "shop-0.tar"
    tar, members = tar_of(path)
    FAULTS["a wrong checksum"](tar, members["2.png"])
    path.write_bytes(tar)
    pair: PairSource = {"split": "train", "format": "webdataset", "path": "shop-0.tar"}
    (source,) = sources_of([pair], tmp_path)
    samples = list(read_samples(path, source))
    with_image = [sample for sample in samples if sample.name.endswith(".png")]
    assert [sample.captions for sample in with_image] == [[f"picture {number}"] for number in (0, 1, 3, 4, 5)]
    assert samples[-1].key == "shop-0"
    with pytest.raises(OSError, match=rf"shop-0\.tar is damaged at byte {members['2.png'].offset}$"):
        samples[-1].load()
