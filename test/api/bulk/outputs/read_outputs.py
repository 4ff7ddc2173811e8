"""Prints what NumPy, safetensors and Arrow read of a shard's files as one JSON document."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from safetensors import safe_open


def numbers(value: object) -> list[float]:
    """Bytes of a fixed-size binary are numbers as well."""
    return list(value) if isinstance(value, bytes) else [float(each) for each in value]  # type: ignore[union-attr]


folder = Path(sys.argv[1])
array = np.load(folder / "part-0000.npy")
ids = [json.loads(line) for line in (folder / "part-0000.ids.jsonl").read_text().splitlines()]
with safe_open(folder / "part-0000.safetensors", framework="np") as file:
    tensor = file.get_tensor("embeddings")
    tensors = {
        "dtype": str(tensor.dtype),
        "values": tensor.tolist(),
        "items": file.get_tensor("items").tolist(),
        "metadata": file.metadata(),
    }
table = pq.read_table(folder / "part-0000.parquet")
document = {
    "npy": {"dtype": str(array.dtype), "values": array.tolist()},
    "ids": ids,
    "safetensors": tensors,
    "parquet": {
        "types": {field.name: str(field.type) for field in table.schema},
        "rows": [{**row, "embedding": numbers(row["embedding"])} for row in table.to_pylist()],
        "metadata": {key.decode(): value.decode() for key, value in table.schema.metadata.items()},
    },
}
print(json.dumps(document))
