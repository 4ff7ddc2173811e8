"""One JSON document about many images: COCO's annotations, Karpathy's splits, or a plain list of rows."""

import json
from pathlib import Path
from typing import Any

from towers.formats.item import Columns, FormatError, Found, Item, file_of, key_of, labels_of, read_file, texts_of
from towers.formats.places import decoded_text, folder_of
from towers.formats.splits import stated_split
from towers.formats.tables import from_rows


def read_json(path: Path, columns: Columns) -> Found:
    """Whichever of them the document is."""
    try:
        document = json.loads(decoded_text(path)[0])
    except json.JSONDecodeError as error:
        raise FormatError(f"{path.name} is not JSON: {error}") from error
    rows = document.get("images") if isinstance(document, dict) else document
    if isinstance(document, dict) and isinstance(rows, list) and isinstance(document.get("annotations"), list):
        return read_coco(path, document)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise FormatError(
            f"{path.name} is none of the JSON documents that are read: COCO's ('images' and 'annotations'), Karpathy's "
            "('images' with 'sentences'), or a list of objects that each name an image"
        )
    if any("sentences" in row for row in rows):
        return read_karpathy(path, rows)
    return from_rows(path, rows, columns, "json")


def read_coco(path: Path, document: dict[str, Any]) -> Found:
    """COCO: captions, or the largest object's category where there are no captions."""
    names = {row["id"]: str(row["name"]) for row in document.get("categories", []) if "id" in row and "name" in row}
    captions: dict[Any, list[str]] = {}
    objects: dict[Any, list[tuple[float, str]]] = {}
    for row in document["annotations"]:
        captions.setdefault(row.get("image_id"), []).extend(texts_of(row.get("caption")))
        if row.get("category_id") in names:
            area = float(row.get("area") or 0)
            objects.setdefault(row.get("image_id"), []).append((area, names[row["category_id"]]))
    files = [str(row.get("file_name", "")) for row in document["images"]]
    folder = folder_of(path, files)
    items = []
    for row, file in zip(document["images"], files, strict=True):
        found = objects.get(row.get("id"), [])
        labels = [max(found)[1]] if found and not captions.get(row.get("id")) else []
        items.append(Item(key_of(file), loader(file_of(folder, file)), captions.get(row.get("id"), []), labels))
    kind = "captions" if any(item.captions for item in items) else "the category of the largest object as class"
    return Found("coco", items, [f"{path.name}: COCO annotations, {kind}, images in {folder}"])


def read_karpathy(path: Path, rows: list[dict[str, Any]]) -> Found:
    """Karpathy: file name, sentences, and the split that the document states."""
    files = [str(Path(str(row.get("filepath") or "")) / str(row.get("filename") or "")) for row in rows]
    folder = folder_of(path, files)
    if not (folder / files[0]).is_file():  # the shards of Flickr have no folder inside, those of COCO do
        bare = [str(row.get("filename") or "") for row in rows]
        files, folder = bare, folder_of(path, bare)
    items = []
    for row, file in zip(rows, files, strict=True):
        load, captions, labels = (
            loader(file_of(folder, file)),
            texts_of(row.get("sentences")),
            labels_of(row.get("label")),
        )
        split, word = stated_split(f"'split' of {path.name}", row.get("split"))
        items.append(Item(key_of(file), load, captions, labels, split, split_word=word))
    return Found("karpathy", items, [f"{path.name}: Karpathy's format, images in {folder}"])


def loader(file: Path):
    """Reads the file when asked."""
    return lambda: read_file(file)
