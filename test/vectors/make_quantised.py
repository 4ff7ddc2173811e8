"""Makes quantised.json: vectors in whole numbers, and their scores, by sentence-transformers' own functions.

In an environment with sentence-transformers 6.2.0: `python test/vectors/make_quantised.py`
"""

import json
from pathlib import Path

import numpy as np
from sentence_transformers.util import cos_sim
from sentence_transformers.util.quantization import quantize_embeddings

FILE = Path(__file__).parents[2] / "contracts/vectors/embedding/quantised.json"
COUNT, LENGTH, SCALE = 6, 64, 201.0


def main() -> None:
    random = np.random.default_rng(20261126)
    # A few large numbers at the beginning and many small ones, as a Matryoshka space has them; two that are much alike.
    vectors = random.standard_normal((COUNT, LENGTH)) * np.exp(-np.arange(LENGTH) / 12)
    vectors[1] = vectors[0] + 0.2 * vectors[1]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    # Its int8 is floor((x - start) / step) - 128 with step = (end - start) / 255: this range makes that round(x * SCALE).
    ranges = np.tile([[-128.5 / SCALE], [126.5 / SCALE]], LENGTH)
    written = {
        name: quantize_embeddings(vectors, name, ranges=ranges) for name in ("int8", "uint8", "binary", "ubinary")
    }
    bits = np.unpackbits(written["ubinary"], axis=1)
    document = {
        "generated_by": "test/vectors/make_quantised.py",
        "int8_scale": SCALE,
        "float": [[float(np.format_float_scientific(value)) for value in vector] for vector in vectors],
        **{name: values.tolist() for name, values in written.items()},
        "cosine": cos_sim(vectors, vectors).tolist(),
        "cosine_int8": cos_sim(written["int8"].astype(np.float32), written["int8"].astype(np.float32)).tolist(),
        "hamming": (bits[:, None] != bits[None]).sum(2).tolist(),
    }
    FILE.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
