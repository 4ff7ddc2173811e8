"""Stage `prepare`: turns a user's data into tar shards, caption rows and a report of what was dropped and why."""

import hashlib
import io
import json
import re
import tarfile
from collections import Counter
from pathlib import Path

from PIL import Image, ImageOps

from contracts.types import PrepareConfig
from towers.data import Row, read_rows, write_rows
from towers.run import Run
from towers.sources import Sample, read_source

# Words that end a phrase: what a caption has between two of them is what people type into a search box.
STOP_WORDS = set(
    [
        "a",
        "an",
        "the",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "and",
        "or",
        "but",
        "of",
        "in",
        "on",
        "at",
        "to",
        "from",
        "by",
        "with",
        "without",
        "for",
        "as",
        "into",
        "onto",
        "over",
        "under",
        "near",
        "up",
        "down",
        "out",
        "off",
        "through",
        "across",
        "along",
        "around",
        "behind",
        "between",
        "beside",
        "while",
        "who",
        "which",
        "that",
        "this",
        "these",
        "those",
        "his",
        "her",
        "its",
        "their",
        "it",
        "he",
        "she",
        "they",
        "them",
        "there",
        "some",
        "several",
        "one",
        "two",
        "three",
        "four",
        "five",
        "has",
        "have",
        "had",
        "having",
        "do",
        "does",
        "doing",
        "very",
        "other",
        "another",
        "each",
        "next",
        "front",
        "back",
        "top",
        "side",
    ]
)


def main() -> None:
    """Run the stage."""
    run = Run.start(PrepareConfig)
    config = run.config
    data = run.input("data")
    out = run.output

    # ---- pairs: dev first, so that an image in both splits stays in dev -------------------------------------------
    state = run.resume() or {"sources_done": 0, "seen": {}, "rows": {}, "dropped": [], "shards": {}}
    sources = sorted(config["pairs"], key=lambda source: source["split"] != "dev")
    for index, source in enumerate(sources):
        if index < state["sources_done"]:
            continue
        split = source["split"]
        writer = ShardWriter(out, split, state["shards"].get(split, 0), config["shard_size"])
        rows: list[Row] = []
        for sample in read_source(data, source):
            reason, image, captions = checked(sample, config, state["seen"])
            if reason is not None:
                state["dropped"].append({"source": source["path"], "key": sample.key, "reason": reason})
            if image is None:
                continue
            state["seen"][hashlib.sha256(image).hexdigest()] = sample.key
            state["seen"]["key:" + sample.key] = sample.key
            rows.append({"key": sample.key, "shard": writer.add(sample.key, image), "captions": captions})
            run.tick(index, len(sources), images=len(rows))
        writer.close()
        state["rows"].setdefault(split, []).extend(rows)
        state["shards"][split] = writer.count
        state["sources_done"] = index + 1
        run.save(state)
        run.tick(index + 1, len(sources), lambda: state, images=len(rows))

    # ---- texts -----------------------------------------------------------------------------------------------------
    texts: dict[tuple[str, str], list[Row]] = {}
    for source in config["texts"]:
        rows = [
            normalised(source["kind"], row)
            for row in read_rows(data / source["path"])
            if "sources" not in source or row.get("source") in source["sources"]
        ]
        texts.setdefault((source["kind"], source["split"]), []).extend(rows)
    pairs_train = state["rows"].get("train", [])
    texts["fragments", "train"] = fragments(
        [caption for row in pairs_train for caption in row["captions"]], config["fragments"]
    )
    files = {}
    for split, rows in state["rows"].items():
        write_rows(out / f"pairs.{split}.jsonl", rows)
        files[f"pairs.{split}"] = f"pairs.{split}.jsonl"
    for (kind, split), rows in texts.items():
        write_rows(out / f"{kind}.{split}.jsonl", rows)
        files[f"{kind}.{split}"] = f"{kind}.{split}.jsonl"
    if config["classes"] is not None:
        (out / "classes.json").write_text(json.dumps(json.loads((data / config["classes"]).read_text())))
        files["classes"] = "classes.json"
    if config["class_images"] is not None:
        files |= copy_class_images(data / config["class_images"], out)

    # ---- report ----------------------------------------------------------------------------------------------------
    write_rows(out / "dropped.jsonl", state["dropped"])
    reasons = Counter(row["reason"].split(":")[0] for row in state["dropped"])
    metrics: dict[str, float] = {f"images.{split}": len(rows) for split, rows in state["rows"].items()}
    metrics |= {f"captions.{split}": sum(len(row["captions"]) for row in rows) for split, rows in state["rows"].items()}
    metrics |= {f"{kind}.{split}": len(rows) for (kind, split), rows in texts.items()}
    metrics |= {f"dropped.{reason}": count for reason, count in reasons.items()}
    run.finish(
        metrics, files | {"dropped": "dropped.jsonl"}, [f"dropped {reason}: {n}" for reason, n in reasons.items()]
    )


def checked(sample: Sample, config: PrepareConfig, seen: dict[str, str]) -> tuple[str | None, bytes | None, list[str]]:
    """(why something was dropped, image bytes to keep or None, captions to keep)."""
    if sample.image is None:
        return "missing image", None, []
    if "key:" + sample.key in seen:
        return "key used twice", None, []
    low, high = config["min_caption_chars"], config["max_caption_chars"]
    stripped = [" ".join(caption.split()) for caption in sample.captions]
    captions = list(dict.fromkeys(caption for caption in stripped if low <= len(caption) <= high))
    if not captions:
        return "no usable caption", None, []
    image, reason = stored_image(sample.image, config)
    if image is None:
        return reason, None, []
    twin = seen.get(hashlib.sha256(image).hexdigest())
    if twin is not None:
        return f"same image as another: {twin}", None, []
    unusable = [caption for caption in stripped if not low <= len(caption) <= high]
    return ("caption too short or too long" if unusable else None), image, captions


def stored_image(data: bytes, config: PrepareConfig) -> tuple[bytes | None, str]:
    """JPEG bytes to store: the original where it is a JPEG of allowed size, else re-encoded, upright and shrunk."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            if width * height > config["max_pixels"]:
                return None, f"too many pixels: {width}x{height}"
            if min(width, height) < config["min_side"]:
                return None, f"too small: {width}x{height}"
            image.load()
            if image.format == "JPEG" and max(width, height) <= config["max_side"]:
                return data, ""
            upright = ImageOps.exif_transpose(image).convert("RGB")
            upright.thumbnail((config["max_side"], config["max_side"]), Image.Resampling.BICUBIC)
            buffer = io.BytesIO()
            upright.save(buffer, "JPEG", quality=92)
            return buffer.getvalue(), ""
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return None, f"broken image: {error}"


def normalised(kind: str, row: Row) -> Row:
    """A text row with only the fields that later stages read."""
    if kind == "long":
        captions = [item["text"] if isinstance(item, dict) else item for item in row["captions"]]
        return {"id": row["id"], "captions": captions}
    if kind == "groups":
        return {"id": row["id"], "source": row.get("source", ""), "captions": row["captions"]}
    return row


def fragments(captions: list[str], limit: int) -> list[Row]:
    """The `limit` most common phrases of 1 to 4 words between stop words: texts as people type into a search box."""
    counts: Counter[str] = Counter()
    for caption in captions:
        for part in re.split(r"[^\w\s'-]+", caption.lower()):
            phrase: list[str] = []
            for word in [*part.split(), "the"]:
                if word not in STOP_WORDS:
                    phrase.append(word)
                    continue
                if 1 <= len(phrase) <= 4:
                    counts[" ".join(phrase)] += 1
                phrase = []
    common = [phrase for phrase, count in counts.most_common(limit) if count >= 2]
    return [{"id": str(number), "captions": [phrase]} for number, phrase in enumerate(common)]


def copy_class_images(archive: Path, out: Path) -> dict[str, str]:
    """Zero-shot images with their class: the tar as it is, and rows {key, shard, index} from the .jsonl beside it."""
    (out / archive.name).write_bytes(archive.read_bytes())
    rows = [
        {"key": row["key"], "shard": archive.name, "index": row["index"]}
        for row in read_rows(archive.with_suffix(".jsonl"))
    ]
    write_rows(out / "class_images.jsonl", rows)
    return {"class_images": "class_images.jsonl", "class_images.tar": archive.name}


class ShardWriter:
    """Writes images into tar shards of `size` images each; reproducible bytes (no times, no owners)."""

    def __init__(self, folder: Path, split: str, first: int, size: int) -> None:
        self.folder, self.split, self.size = folder, split, size
        self.count = first
        self.images = 0
        self.archive: tarfile.TarFile | None = None

    def add(self, key: str, image: bytes) -> str:
        """Store an image; returns the shard's file name."""
        if self.archive is None or self.images == self.size:
            self.close()
            self.archive = tarfile.open(self.folder / f"{self.split}-{self.count:05d}.tar", "w")  # noqa: SIM115 - until close()
            self.count += 1
        member = tarfile.TarInfo(f"{key}.jpg")
        member.size = len(image)
        self.archive.addfile(member, io.BytesIO(image))
        self.images += 1
        return f"{self.split}-{self.count - 1:05d}.tar"

    def close(self) -> None:
        """Finish the shard that is open."""
        if self.archive is not None:
            self.archive.close()
        self.archive, self.images = None, 0


if __name__ == "__main__":
    main()
