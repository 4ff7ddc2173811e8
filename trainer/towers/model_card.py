"""Writes MODEL_CARD.md of an exported model: description, metrics, sources and their licences."""

from contracts.types import ModelManifest


def model_card(manifest: ModelManifest, notes: list[str], terms: str, limits: str) -> str:
    """The card's text; every figure in it is in the manifest."""
    image, text = manifest["image"]["preprocess"], manifest["text"]
    towers = {"text": text, **({"tiny text": manifest["tiny"]} if "tiny" in manifest else {})}
    static = manifest.get("static")
    files = {
        f"{name} {what}": file
        for name, tower in towers.items()
        for what, file in {
            "graph": tower["graph"]["file"],
            **({"weights": tower["graph"]["weights"]["file"]} if "weights" in tower["graph"] else {}),
            **({"graph in parts": tower["partition"]["file"]} if "partition" in tower else {}),
            "token table": tower["table"]["file"],
        }.items()
    } | {
        **({"static token table": static["table"]["file"]} if static else {}),
        **({"static projection": static["projection"]["file"]} if static and "projection" in static else {}),
        "image graph": manifest["image"]["graph"]["file"],
        "vocabulary": text["tokenizer"]["vocabulary"],
    }
    lines = [
        "<!-- The card of an exported model; written by the trainer's export stage. -->",
        f"# {manifest['name']} {manifest['version']}",
        "",
        f"Images and texts in one space of {manifest['embed_dim']} dimensions "
        f"(prefixes of {', '.join(map(str, manifest['matryoshka_dims']))} work too). A language model taught the image "
        "tower, then a small text encoder and a token table that run where no language model can.",
        "",
        f"- Space: `{manifest['space_id']}`",
        f"- Image: {image['size']} x {image['size']} pixels, {image['resize_mode']}, {image['interpolation']}",
        f"- Text: WordPiece, {text['tokenizer']['vocabulary_size']} pieces, at most {text['context_length']} tokens",
        "",
        "## Files",
        "| what | file | bytes |",
        "|---|---|---|",
        *(f"| {what} | {file['path']} | {file['size']} |" for what, file in files.items()),
        "",
        "## Measured on the dev split",
        "| figure | value |",
        "|---|---|",
        *(f"| {name} | {value:.4f} |" for name, value in sorted(manifest["metrics"].items())),
        "",
        *(f"- {note}" for note in notes),
        "",
        "## Made from",
        "| what | source | licence |",
        "|---|---|---|",
        *(
            f"| {parent['name']} | {parent['source']} | {parent['licence']} |"
            for parent in manifest["lineage"]["parents"]
        ),
        "",
        terms,
        "",
        "## Limits",
        limits,
        "",
    ]
    return "\n".join(lines)
