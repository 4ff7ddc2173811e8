"""Stage `embed_captions`: embeds every text with the frozen teachers and stores bfloat16 features.

The features of a text are the teachers' vectors of it, each at unit length, one after the other. Equal texts are embedded
once. Work is cut into shards; a finished shard is never computed again.
Writes, for each set S, `features.S.safetensors` {features [N, D] bfloat16} and `captions.S.jsonl` {id, text}, row by row.
"""

import hashlib
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file, save_file

from contracts.types import EmbedCaptionsConfig
from engine.run import Run
from towers.class_targets import read_classes
from towers.data import Row, read_pairs, read_texts, write_rows
from towers.labels import normalised_label
from towers.language.read import language_model_in, read_language_model, read_sentence_encoder
from towers.teachers import Teacher, text_features

SPLITS = ("train", "dev", "unseen")
WIDEST_HYPERNYM = 0.135  # of the classes; "animal" and wider ones say too little of a picture to be learned with it


def main() -> None:
    """Run the stage."""
    run = Run.start(EmbedCaptionsConfig)
    config = run.config
    sets = text_sets(run.input("prepare"), config)
    texts = list(dict.fromkeys(row["text"] for rows in sets.values() for row in rows))
    shards = [texts[start : start + config["shard_size"]] for start in range(0, len(texts), config["shard_size"])]

    # ---- shards ------------------------------------------------------------------------------------------------------
    teachers = read_teachers(run)
    state = run.resume() or {"shards": 0}
    done = sum(len(shard) for shard in shards[: state["shards"]])
    total = len(texts) * len(teachers)
    for number in range(state["shards"], len(shards)):
        shard = shards[number]
        parts = []
        for place, teacher in enumerate(teachers):

            def tick(rows: int, before: int = done * len(teachers) + place * len(shard), number: int = number) -> None:
                run.tick(before + rows, total, lambda: {"shards": number})

            parts.append(text_features(teacher, shard, config, tick))
        save_file({"features": torch.cat(parts, 1)}, run.output / f"shard-{number:05d}.safetensors")
        done += len(shard)
        run.save({"shards": number + 1})

    # ---- assemble ----------------------------------------------------------------------------------------------------
    all_ND = torch.cat([load_file(run.output / f"shard-{n:05d}.safetensors")["features"] for n in range(len(shards))])
    row_of = {text: number for number, text in enumerate(texts)}
    files = {}
    for name, rows in sets.items():
        features_ND = all_ND[[row_of[row["text"]] for row in rows]] if rows else all_ND[:0]
        save_file({"features": features_ND.contiguous()}, run.output / f"features.{name}.safetensors")
        write_rows(run.output / f"captions.{name}.jsonl", rows)
        files[f"features.{name}"] = f"features.{name}.safetensors"
        files[f"captions.{name}"] = f"captions.{name}.jsonl"
    metrics: dict[str, float] = {"texts": len(texts), "width": all_ND.shape[1]}
    metrics |= {f"rows.{name}": len(rows) for name, rows in sets.items()}
    run.finish(metrics, files)
    for number in range(len(shards)):
        (run.output / f"shard-{number:05d}.safetensors").unlink()


def read_teachers(run: Run[EmbedCaptionsConfig]) -> list[Teacher]:
    """The teachers of the recipe on the run's device, in eval mode; a language model as it is, or as it was last tuned."""
    teachers: list[Teacher] = []
    for teacher in run.config["teachers"]:
        if teacher["type"] == "language_model" and "language_model" in teacher:
            teachers.append(read_language_model(teacher["language_model"], run.amp_dtype))
        elif teacher["type"] == "language_model":
            folder = run.input("contrastive") if "contrastive" in run.job["inputs"] else run.input("mntp")
            teachers.append(read_language_model(language_model_in(folder / "model"), run.amp_dtype))
        else:
            teachers.append(read_sentence_encoder(teacher["package"], run.amp_dtype))
        teachers[-1].model.to(run.device).eval()
    return teachers


def text_sets(prepared: Path, config: EmbedCaptionsConfig) -> dict[str, list[Row]]:
    """{id, text} rows by the name of their set."""
    sets: dict[str, list[Row]] = {}
    pairs = {split: read_pairs(prepared, split) for split in SPLITS}
    for split, rows in pairs.items():
        if rows or split != "unseen":
            sets[f"pairs.{split}"] = rows_of(rows, "key", None)
    sets["labels"] = label_texts([*pairs["train"], *pairs["unseen"]])
    classes, concepts = read_classes(prepared), read_texts(prepared, "concepts", "train")
    sets["prompts"] = class_prompts(classes, config["prompt_templates"])
    sets["hypernyms"] = hypernym_texts(classes, concepts, config["concept_texts"]["templates"])
    for kind, limit in cast(dict[str, int], config["limits"]).items():
        found = concept_texts(concepts, config) if kind == "concepts" else read_texts(prepared, kind, "train")
        if kind == "translations":
            found = [{"id": row["id"], "captions": [row["en"]]} for row in found]
        sets[f"{kind}.train"] = rows_of(found, "id", limit)
    return sets


def rows_of(rows: list[Row], key: str, limit: int | None) -> list[Row]:
    """{id, text} for every caption, image by image, with its `role` where it has one; at most `limit`, whole images only."""
    out: list[Row] = []
    for row in rows:
        if limit is not None and len(out) + len(row["captions"]) > limit:
            break
        texts = [{"id": row[key], "text": caption} for caption in row["captions"]]
        out += (
            [{**text, "role": role} for text, role in zip(texts, row["roles"], strict=True)]
            if "roles" in row
            else texts
        )
    return out


def label_texts(pairs: list[Row]) -> list[Row]:
    """The captions that prepare made of every different label, or the label alone; the id is the normalised label."""
    texts: dict[str, list[str]] = {}
    for row in pairs:
        if "label" in row:
            label = normalised_label(row["label"])
            if label not in texts or row["prompted"]:
                texts[label] = row["captions"] if row["prompted"] else [row["label"]]
    return [{"id": label, "text": text} for label, captions in texts.items() for text in captions]


def hypernym_texts(classes: list[Row], concepts: list[Row], templates: list[str]) -> list[Row]:
    """Prompts of every hypernym of the classes of the class file: {id, text, classes}, its classes by their number.

    A class is found among the concepts by its `wnid`, else by its name.
    """
    by_name = {normalised_label(row["name"]): row for row in reversed(concepts)}
    by_wnid = {row["id"].removeprefix("imagenet:"): row for row in concepts}
    covered: dict[str, list[int]] = {}
    for row in classes:
        concept = by_wnid.get(row.get("wnid", "")) or by_name.get(normalised_label(row["name"]))
        for hypernym in concept["hypernyms"] if concept is not None else ():
            covered.setdefault(hypernym, []).append(row["index"])
    return [
        {"id": hypernym, "text": template.replace("{}", hypernym), "classes": numbers}
        for hypernym, numbers in covered.items()
        if len(numbers) <= max(1, WIDEST_HYPERNYM * len(classes))
        for template in dict.fromkeys([*templates, "{}"])
    ]


def concept_texts(concepts: list[Row], config: EmbedCaptionsConfig) -> list[Row]:
    """{id, captions} of every concept, the bare name first. The order is that of a hash: a limit cuts all sources alike."""
    wanted = config["concept_texts"]
    rows = []
    for row in sorted(concepts, key=lambda row: hashlib.sha256(row["id"].encode()).digest()):
        texts = [row["name"], *(template.replace("{}", row["name"]) for template in wanted["templates"])]
        texts += row["names"][1 : 1 + wanted["synonyms"]]
        texts += [row["gloss"]] if wanted["gloss"] and row["gloss"] else []
        texts += [f"{row['name']}, a kind of {hypernym}" for hypernym in row["hypernyms"][: wanted["hypernyms"]]]
        texts += row["descriptions"][: wanted["descriptions"]]
        rows.append({"id": row["id"], "captions": list(dict.fromkeys(texts))})
    return rows


def class_prompts(classes: list[Row], templates: list[str]) -> list[Row]:
    """Every class name in every template, class by class."""
    return [
        {"id": str(row["index"]), "text": template.replace("{}", row["name"])}
        for row in classes
        for template in templates
    ]


if __name__ == "__main__":
    main()
