"""Rotated vectors against SciPy's Hadamard matrix, and their bits against those that servers are held to."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import hadamard

from towers.rotation import rotate, signs

CASES = json.loads((Path(__file__).parents[2] / "contracts/vectors/embedding/rotated.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(len(case["float"][0])))
def test_bits_are_those_that_servers_write(case):
    assert np.packbits(rotate(np.array(case["float"], np.float32)) > 0, axis=1).tolist() == case["ubinary"]


def test_both_rounds_are_signs_and_the_matrix_of_the_next_power_of_two():
    vectors = np.random.default_rng(5).standard_normal((7, 100)).astype(np.float32)
    matrix = hadamard(128) * signs(128, 1) @ (hadamard(128) * signs(128, 0))
    assert np.allclose(rotate(vectors), vectors @ matrix[:100, :100].T, atol=1e-3)
    # Nothing is lost at a power of two: lengths and angles stay, up to the factor of two transforms.
    whole = np.random.default_rng(6).standard_normal((7, 64)).astype(np.float32)
    assert np.allclose(rotate(whole) @ rotate(whole).T / 64**2, whole @ whole.T, atol=1e-3)
