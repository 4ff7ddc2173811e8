"""Names of classes, and pictures of them for zero-shot figures."""

import json
from pathlib import Path

from contracts.types import PrepareConfig
from towers.data import read_rows, write_rows


def copy_classes(data: Path, config: PrepareConfig, out: Path) -> dict[str, str]:
    """Copy what the recipe names of both; the files by name."""
    files = {}
    if config["classes"] is not None:
        (out / "classes.json").write_text(json.dumps(json.loads((data / config["classes"]).read_text())))
        files["classes"] = "classes.json"
    if config["class_images"] is not None:
        files |= copy_class_images(data / config["class_images"], out)
    return files


def copy_class_images(archive: Path, out: Path) -> dict[str, str]:
    """Zero-shot images with their class: the tar as it is, and rows {key, shard, index} from the .jsonl beside it."""
    (out / archive.name).write_bytes(archive.read_bytes())
    rows = [
        {"key": row["key"], "shard": archive.name, "index": row["index"]}
        for row in read_rows(archive.with_suffix(".jsonl"))
    ]
    write_rows(out / "class_images.jsonl", rows)
    return {"class_images": "class_images.jsonl", "class_images.tar": archive.name}
