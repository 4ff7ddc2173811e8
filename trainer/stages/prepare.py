"""Stage `prepare`: turns a user's data into tar shards, caption rows and a report of what was dropped and why."""

import hashlib
import json
from collections import Counter
from pathlib import Path

from contracts.types import PairSource, PrepareConfig
from engine.run import Run
from towers.data import Row, read_rows, write_rows
from towers.fragments import fragments
from towers.labels import is_held_out
from towers.shards import ShardWriter, stored_image
from towers.sources import Sample, read_source, set_of
from towers.texts import joined_translations, read_text_source


def main() -> None:
    """Run the stage."""
    run = Run.start(PrepareConfig)
    config = run.config
    data = run.input("data")
    out = run.output

    # ---- pairs: dev first, so that an image in both splits stays in dev -------------------------------------------
    state = run.resume() or {"sources_done": 0, "seen": {}, "rows": {}, "dropped": [], "shards": {}}
    sources = sorted(config["pairs"], key=lambda source: source["split"] != "dev")
    names = set_names(sources)
    held_out = max((source.get("hold_out_labels", 0.0) for source in sources), default=0.0)
    for index, source in enumerate(sources):
        if index < state["sources_done"]:
            continue
        writers: dict[str, ShardWriter] = {}
        kept: dict[str, list[Row]] = {}
        dropped: Counter[str] = Counter()
        translated = translated_captions(data, source)
        name = names[index]
        for sample in read_source(data, source):
            split = split_of(sample, source, held_out)
            key, reason, image, captions = checked(sample, (source, name), config, state["seen"])
            if split is None:
                reason, image = "label held out by another source", None
            if reason is not None:
                state["dropped"].append({"source": source["path"], "key": sample.key, "reason": reason})
                dropped[reason.split(":")[0]] += 1
            if image is None or split is None:
                continue
            state["seen"][hashlib.sha256(image).hexdigest()] = key
            state["seen"]["key:" + key] = name
            if split not in writers:
                writers[split] = ShardWriter(out, split, state["shards"].get(split, 0), config["shard_size"])
            row = {"key": key, "shard": writers[split].add(key, image), "captions": captions, **sample.about}
            tr = {language: rows[sample.key] for language, rows in translated.items() if sample.key in rows}
            kept.setdefault(split, []).append(row | ({"tr": tr} if tr else {}))
            run.tick(index, len(sources), images=sum(len(rows) for rows in kept.values()))
        if not kept:
            found = ", ".join(f"{reason}: {count}" for reason, count in dropped.items()) or "it holds none"
            raise ValueError(f"{source['path']}: not one image of this source is usable ({found})")
        for split, writer in writers.items():
            writer.close()
            state["rows"].setdefault(split, []).extend(kept[split])
            state["shards"][split] = writer.count
        state["sources_done"] = index + 1
        run.save(state)
        run.tick(index + 1, len(sources), lambda: state, images=sum(len(rows) for rows in kept.values()))

    # ---- texts -----------------------------------------------------------------------------------------------------
    texts: dict[tuple[str, str], list[Row]] = {}
    for text_source in config["texts"]:
        rows = read_text_source(data, text_source)
        texts.setdefault((text_source["kind"], text_source["split"]), []).extend(rows)
    texts |= {key: joined_translations(rows) for key, rows in texts.items() if key[0] == "translations"}
    pairs_train = state["rows"].get("train", [])
    texts["fragments", "train"] = fragments(
        [caption for row in pairs_train if not row.get("prompted") for caption in row["captions"]], config["fragments"]
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
    labels = {split: {row["label"] for row in rows if "label" in row} for split, rows in state["rows"].items()}
    metrics |= {f"labels.{split}": len(found) for split, found in labels.items() if found}
    metrics |= {f"{kind}.{split}": len(rows) for (kind, split), rows in texts.items()}
    metrics |= {f"dropped.{reason}": count for reason, count in reasons.items()}
    run.finish(
        metrics, files | {"dropped": "dropped.jsonl"}, [f"dropped {reason}: {n}" for reason, n in reasons.items()]
    )


def set_names(sources: list[PairSource]) -> list[str]:
    """The set that each source is; sources of one name are told apart by a number."""
    names: list[str] = []
    for source in sources:
        names.append(name if (name := set_of(source)) not in names else f"{name}-{len(names)}")
    return names


def split_of(sample: Sample, source: PairSource, held_out: float) -> str | None:
    """The split of an image: its source's, `unseen` for a label that is held out, None where another source holds it out."""
    label = sample.about.get("label")
    if source["split"] != "train" or label is None or not is_held_out(label, held_out):
        return source["split"]
    return "unseen" if is_held_out(label, source.get("hold_out_labels", 0.0)) else None


def checked(
    sample: Sample, source_and_name: tuple[PairSource, str], config: PrepareConfig, seen: dict[str, str]
) -> tuple[str, str | None, bytes | None, list[str]]:
    """(key to keep it under, why something was dropped, image bytes to keep or None, captions to keep).

    A key that another source has used gets the set's name in front: shards of different sets count from zero alike.
    """
    source, name = source_and_name
    key = sample.key
    if seen.get("key:" + key, name) != name:
        key = f"{name}/{key}"
    if sample.image is None:
        return key, "missing image", None, []
    if source.get("only_open", False) and sample.about.get("open") is not True:
        return key, "not under an open licence", None, []
    if "key:" + key in seen:
        return key, "key used twice", None, []
    low, high = config["min_caption_chars"], config["max_caption_chars"]
    stripped = [" ".join(caption.split()) for caption in sample.captions]
    captions = list(dict.fromkeys(caption for caption in stripped if low <= len(caption) <= high))
    if not captions:
        return key, "no usable caption", None, []
    image, reason = stored_image(sample.image, config)
    if image is None:
        return key, reason, None, []
    twin = seen.get(hashlib.sha256(image).hexdigest())
    if twin is not None:
        return key, f"same image as another: {twin}", None, []
    unusable = [caption for caption in stripped if not low <= len(caption) <= high]
    return key, ("caption too short or too long" if unusable else None), image, captions


def translated_captions(data: Path, source: PairSource) -> dict[str, dict[str, list[str]]]:
    """By language and key, the captions of a source's images in other languages."""
    files = source.get("translated_captions", {})
    return {
        language: {row["key"]: row["captions"] for row in read_rows(data / path)} for language, path in files.items()
    }


def copy_class_images(archive: Path, out: Path) -> dict[str, str]:
    """Zero-shot images with their class: the tar as it is, and rows {key, shard, index} from the .jsonl beside it."""
    (out / archive.name).write_bytes(archive.read_bytes())
    rows = [
        {"key": row["key"], "shard": archive.name, "index": row["index"]}
        for row in read_rows(archive.with_suffix(".jsonl"))
    ]
    write_rows(out / "class_images.jsonl", rows)
    return {"class_images": "class_images.jsonl", "class_images.tar": archive.name}


if __name__ == "__main__":
    main()
