"""Rotates vectors before their signs are taken: pseudo-random signs and a Walsh-Hadamard transform, twice.

A space on its principal axes holds nearly everything in its first numbers, so that most signs of a vector say nothing.
docs/vectors.md defines the rotation; api/core/vectors/rotation.ts does the same, float32 number by float32 number.
"""

import numpy as np

ROUNDS = 2


def rotate(vectors_NL: np.ndarray) -> np.ndarray:
    """float32 [N, L]: sums with signs of all numbers of each vector, whose factor is left in: only signs are taken of them."""
    count, length = vectors_NL.shape
    width = 1 << (length - 1).bit_length()
    numbers_NP = np.zeros((count, width), np.float32)
    numbers_NP[:, :length] = vectors_NL
    for number in range(ROUNDS):
        numbers_NP *= signs(width, number)
        walsh_hadamard(numbers_NP)
    return numbers_NP[:, :length]


def walsh_hadamard(numbers_NP: np.ndarray) -> None:
    """In place along P, a power of two, in natural order and unnormalised."""
    count, width = numbers_NP.shape
    for half in (1 << power for power in range(width.bit_length() - 1)):
        pairs = numbers_NP.reshape(count, -1, 2, half)
        one, other = pairs[:, :, 0].copy(), pairs[:, :, 1].copy()
        pairs[:, :, 0], pairs[:, :, 1] = one + other, one - other


def signs(width: int, number: int) -> np.ndarray:
    """float32 [width], +1 or -1 by round: the top bit of MurmurHash3's 32-bit finaliser of the place."""
    hashed = np.arange(width, dtype=np.uint32) + np.uint32(number * 65536 + 1)
    hashed = (hashed ^ (hashed >> 16)) * np.uint32(0x85EBCA6B)
    hashed = (hashed ^ (hashed >> 13)) * np.uint32(0xC2B2AE35)
    return np.where((hashed ^ (hashed >> 16)) >> 31, np.float32(-1), np.float32(1))
