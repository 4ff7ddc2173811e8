"""The int8 scale of a space: from the numbers of its vectors at the shortest length, where they are largest."""

import numpy as np

from towers.quantisation import cut, damage, int8_scale


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
