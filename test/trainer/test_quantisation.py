"""The int8 scale of a space: from the numbers of its vectors at the shortest length, where they are largest."""

import io
import tarfile

import numpy as np
from PIL import Image

from support import write_tiered_model
from towers.exported_files import read_manifest
from towers.quantisation import cut, damage, dev_vectors, int8_scale


def test_the_scale_brings_the_largest_common_number_to_the_end_of_the_range():
    # Every vector is (0.6, 0.8, 0, ...): at length 2 nothing is lost, and the largest number is 0.8.
    vectors = np.tile(np.array([0.6, 0.8, 0.0, 0.0], np.float32), (50, 1))
    assert int8_scale([vectors], [4, 2]) == 127 // 0.8
    assert damage(vectors, 4, 158)[2] == 0
    # Cut to one number each vector is (1).
    assert int8_scale([vectors], [4, 1]) == 127


def test_a_rare_number_is_clamped_and_counted():
    vectors = np.full((400, 100), 0.1, np.float32)
    vectors[0] = 0
    vectors[0, 0] = 1
    scale = int8_scale([vectors], [100])
    assert scale > 1000
    _, _, clamped, used = damage(vectors, 100, scale)
    assert clamped == 1 / 40_000 and used == 2


def test_a_finer_scale_strays_less_and_a_cut_vector_has_unit_length():
    vectors = cut(np.random.default_rng(7).standard_normal((64, 128)), 128)
    assert np.allclose(np.linalg.norm(cut(vectors, 40), axis=1), 1)
    scale = int8_scale([vectors], [128])
    assert scale > 300 and damage(vectors, 128, scale)[0] > damage(vectors, 128, 127)[0]


def test_dev_vectors_are_of_the_pictures_that_servers_read(tmp_path):
    """A transparent one is read over white, of 16 bits the high byte."""
    write_tiered_model(tmp_path / "model")
    rng = np.random.default_rng(3)
    half = np.concatenate([rng.integers(0, 256, (24, 24, 3)), np.full((24, 24, 1), 51)], axis=2)
    grey = rng.integers(0, 2**16, (24, 24))
    # An alpha of 51 is a fifth: the rest is white.
    over_white = np.round(half[..., :3] / 5 + 255 * 4 / 5)
    pictures = [
        half.astype(np.uint8),
        over_white.astype(np.uint8),
        grey.astype(np.uint16),
        (grey // 256).astype(np.uint8),
    ]
    files = {f"{number}.png": png(picture) for number, picture in enumerate(pictures)}
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        for name, data in {**files, "0.json": b'{"captions": ["a dog"]}'}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    images = dev_vectors(tmp_path / "model", read_manifest(tmp_path / "model"), tmp_path / "photos.tar")["image"]
    np.testing.assert_array_equal(images[[0, 2]], images[[1, 3]])


def png(picture: np.ndarray) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
