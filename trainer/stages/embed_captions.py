"""Stage `embed_captions`: embeds every text with the frozen language model and stores bfloat16 features.

Equal texts are embedded once. Work is cut into shards; a finished shard is never computed again.
Writes, for each set S, `features.S.safetensors` {features [N, D] bfloat16} and `captions.S.jsonl` {id, text}, row by row.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from contracts.types import EmbedCaptionsConfig
from towers.data import Row, read_pairs, read_texts, write_rows
from towers.llm import language_model_in, read_language_model
from towers.run import Run
from towers.token_batches import batches_by_length, padded


def main() -> None:
    """Run the stage."""
    run = Run.start(EmbedCaptionsConfig)
    config = run.config
    prepared = run.input("prepare")

    # ---- sets of texts, and the different texts among them -----------------------------------------------------------
    sets: dict[str, list[Row]] = {}
    for split in ("train", "dev"):
        sets[f"pairs.{split}"] = rows_of(read_pairs(prepared, split), "key", None)
    sets["prompts"] = class_prompts(prepared, config["prompt_templates"])
    for kind, limit in config["limits"].items():
        if kind == "translations":
            found = [{"id": row["id"], "captions": [row["en"]]} for row in read_texts(prepared, kind, "train")]
        else:
            found = read_texts(prepared, kind, "train")
        sets[f"{kind}.train"] = rows_of(found, "id", limit)
    texts = list(dict.fromkeys(row["text"] for rows in sets.values() for row in rows))
    shards = [texts[start : start + config["shard_size"]] for start in range(0, len(texts), config["shard_size"])]

    # ---- shards ------------------------------------------------------------------------------------------------------
    language_model = read_language_model(language_model_in(run.input("contrastive") / "model"), run.amp_dtype)
    language_model.model.to(run.device).eval()
    state = run.resume() or {"shards": 0}
    done = sum(len(shard) for shard in shards[: state["shards"]])
    for number in range(state["shards"], len(shards)):
        rows = language_model.tokens(shards[number], config["max_tokens"])
        features: torch.Tensor | None = None
        for batch in batches_by_length([len(row) for row in rows], config["batch_tokens"]):
            ids_BT, mask_BT = padded([rows[i] for i in batch], run.device, language_model.tokenizer.pad_token_id)
            with torch.inference_mode():
                pooled_BD = language_model.pooled(ids_BT, mask_BT, config["pooling"]).to("cpu", torch.bfloat16)
            if features is None:
                features = torch.empty(len(rows), pooled_BD.shape[1], dtype=torch.bfloat16)
            features[batch] = pooled_BD
            done += len(batch)
            run.tick(done, len(texts), lambda number=number: {"shards": number})
        assert features is not None
        save_file({"features": features}, run.output / f"shard-{number:05d}.safetensors")
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


def rows_of(rows: list[Row], key: str, limit: int | None) -> list[Row]:
    """{id, text} for every caption, image by image; at most `limit` of them, whole images only."""
    out: list[Row] = []
    for row in rows:
        if limit is not None and len(out) + len(row["captions"]) > limit:
            break
        out += [{"id": row[key], "text": caption} for caption in row["captions"]]
    return out


def class_prompts(prepared: Path, templates: list[str]) -> list[Row]:
    """Every class name in every template, class by class; empty where the data names no classes."""
    file = prepared / "classes.json"
    if not file.exists():
        return []
    classes = json.loads(file.read_text(encoding="utf-8"))["classes"]
    return [
        {"id": str(row["index"]), "text": template.replace("{}", row["name"])}
        for row in classes
        for template in templates
    ]


if __name__ == "__main__":
    main()
