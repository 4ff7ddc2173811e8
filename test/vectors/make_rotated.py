"""Makes rotated.json: bits of rotated vectors by SciPy's Hadamard matrix and sentence-transformers' own function.

In an environment with scipy and sentence-transformers 6.2.0: `python test/vectors/make_rotated.py`
"""

import json
from pathlib import Path

import numpy as np
from scipy.linalg import hadamard
from sentence_transformers.util.quantization import quantize_embeddings

FILE = Path(__file__).parents[2] / "contracts/vectors/embedding/rotated.json"
COUNT, LENGTHS = 4, (512, 256, 100, 8, 1)


def fmix32(number: int) -> int:
    """The finaliser of MurmurHash3, in Python's whole numbers."""
    number ^= number >> 16
    number = number * 0x85EBCA6B % 2**32
    number ^= number >> 13
    number = number * 0xC2B2AE35 % 2**32
    return number ^ number >> 16


def rotation(length: int) -> np.ndarray:
    """float64 [length, length]: both rounds as one matrix."""
    width = 1
    while width < length:
        width *= 2
    matrix = np.eye(width)
    for number in range(2):
        signs = [-1 if fmix32(i + number * 65536 + 1) >= 2**31 else 1 for i in range(width)]
        matrix = hadamard(width) @ np.diag(signs) @ matrix
    return matrix[:length, :length]


def case(length: int) -> dict:
    """Vectors that hold nearly everything in their first numbers, two of them much alike; no rotated number is next to zero."""
    random = np.random.default_rng(length)
    while True:
        vectors = random.standard_normal((COUNT, length)) * np.exp(-np.arange(length) / 12)
        vectors[1] = vectors[0] + 0.2 * vectors[1]
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        rotated = vectors.astype(np.float64) @ rotation(length).T
        if np.abs(rotated).min() > 1e-5 * np.abs(rotated).max():
            break
    bits = {name: quantize_embeddings(rotated, name) for name in ("binary", "ubinary")}
    signs = np.where(rotated > 0, 1, -1)
    return {
        "float": [[float(np.format_float_scientific(value)) for value in vector] for vector in vectors],
        **{name: values.tolist() for name, values in bits.items()},
        "hamming": (signs[:, None] != signs[None]).sum(2).tolist(),
        # Of the signs of a row to the floats of a column.
        "agreement": (signs @ rotated.T / np.abs(rotated).sum(1)).tolist(),
    }


def main() -> None:
    document = {"generated_by": "test/vectors/make_rotated.py", "cases": [case(length) for length in LENGTHS]}
    FILE.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
