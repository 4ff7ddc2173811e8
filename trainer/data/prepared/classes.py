"""Names of classes, and pictures of them for zero-shot figures."""

import json
import shutil
from pathlib import Path

from contracts import ContractError, load
from contracts.types import PrepareConfig
from towers.data import Row, class_rows, read_rows, write_rows
from towers.formats.archives import picture_of, tar_members


def copy_classes(data: Path, config: PrepareConfig, out: Path) -> dict[str, str]:
    """Copy what the recipe names of both; the files by name."""
    files = {}
    if config["classes"] is not None:
        (out / "classes.json").write_text(json.dumps(read_class_file(data / config["classes"])))
        files["classes"] = "classes.json"
    if config["class_images"] is not None:
        files |= copy_class_images(data / config["class_images"], {row["index"] for row in class_rows(out)}, out)
    return files


def read_class_file(file: Path) -> Row:
    """What `prepare.classes` names. A ValueError where it is no class file, or has two rows of one index."""
    try:
        document = load("ClassFile", file.read_text(encoding="utf-8-sig"))
    except (ContractError, json.JSONDecodeError) as error:
        raise ValueError(
            f"prepare.classes: {file.name} is not {{classes: [{{index, name}}, ...]}}: {error}. A list of names belongs "
            "into class_names of a source"
        ) from error
    first: dict[int, int] = {}
    for number, row in enumerate(document["classes"], 1):
        before = first.setdefault(row["index"], number)
        if before != number:
            names = document["classes"][before - 1]["name"], row["name"]
            raise ValueError(
                f"prepare.classes: {file.name}, rows {before} ({names[0]}) and {number} ({names[1]}) both have index "
                f"{row['index']}: a class has one row. Leave one of them out, or give it an index of its own"
            )
    return document


def copy_class_images(archive: Path, numbers: set[int], out: Path) -> dict[str, str]:
    """Zero-shot images with the number of their class: the tar as it is, and rows {key, shard, index, place} of the .jsonl beside it.

    `place`: [offset, size] of the image, which may have any ending that an image has. A ValueError names the row that has no
    class or no image.
    """
    table = archive.with_suffix(".jsonl")
    if not table.exists():
        raise FileNotFoundError(
            f"prepare.class_images: there is no {table.name} beside {archive.name}; it says {{key, index}} of every image"
        )
    members = tar_members(archive)
    rows: list[Row] = []
    for line, row in enumerate(read_rows(table), 1):
        if "key" not in row or row.get("index") not in numbers:
            raise ValueError(
                f"prepare.class_images: {table.name}, row {line}, needs `key`, the image's name in the tar without its "
                f"ending, and `index`, the number of one of the {len(numbers)} classes of prepare.classes; it is {row}"
            )
        image = picture_of(members.get(str(row["key"]), {}))
        if image is None:
            found = next((member.name for parts in members.values() if (member := picture_of(parts))), None)
            raise ValueError(
                f"prepare.class_images: {table.name}, row {line}: {archive.name} has no image {row['key']}; "
                + ("it has none at all" if found is None else f"its images are called like {found}")
            )
        rows.append(
            {"key": row["key"], "shard": archive.name, "index": row["index"], "place": [image.offset_data, image.size]}
        )
    shutil.copyfile(archive, out / archive.name)
    write_rows(out / "class_images.jsonl", rows)
    return {"class_images": "class_images.jsonl", "class_images.tar": archive.name}
