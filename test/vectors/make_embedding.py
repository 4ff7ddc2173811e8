"""Makes encodings.json: how NumPy writes float32 vectors in every type of /embed. `python test/vectors/make_embedding.py`"""

import base64
import json
from pathlib import Path

import numpy as np

VECTORS = Path(__file__).parents[2] / "contracts/vectors/embedding"


def cases() -> dict[str, np.ndarray]:
    random = np.random.default_rng(20261124)
    normal = random.standard_normal(64)
    halves = np.arange(-8, 8) / 254
    return {
        "unit": normal / np.linalg.norm(normal),
        "length that is no multiple of eight": random.uniform(-1, 1, 13),
        "signs and zeros": np.array([0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 1e-38, -1e-38]),
        "halves between two steps": halves,
        "beyond the range": np.array([1.0078741, 1.02, -1.004, -1.0078741, -1.02, 3e38, -3e38, 0.999]),
        "one number": np.array([-0.25]),
    }


def encode(vector: np.ndarray) -> dict[str, object]:
    float32 = vector.astype("<f4")
    int8 = np.clip(np.rint(float32.astype(np.float64) * 127), -128, 127).astype(np.int16)
    bits = np.packbits(float32 > 0)
    return {
        "float": [float(np.format_float_scientific(value)) for value in float32],  # the shortest that name the float32
        "base64": base64.b64encode(float32.tobytes()).decode(),
        "int8": int8.tolist(),
        "uint8": (int8 + 128).tolist(),
        "binary": (bits.astype(np.int16) - 128).tolist(),
        "ubinary": bits.tolist(),
    }


def main() -> None:
    lines = ",\n".join(json.dumps({"name": name, **encode(vector)}) for name, vector in cases().items())
    (VECTORS / "encodings.json").write_text(
        '{"generated_by": "test/vectors/make_embedding.py", "cases": [\n' + lines + "\n]}\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
