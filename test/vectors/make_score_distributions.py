"""Writes `score_distributions` and `languages` of the committed model's manifest, from dev data that is not in the repository.

    PYTHONPATH=trainer:contracts/python python test/vectors/make_score_distributions.py DATA

DATA holds `flickr8k/flickr8k-dev-000.tar` and `text/multi30k-en-de-fr-cs.dev.jsonl.gz`. The stage `export` writes the same
distributions into the manifests of new models; this is for one that was exported before.
"""

import gzip
import io
import json
import re
import sys
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from contracts import load
from towers.calibration import score_distributions
from towers.export.parity import VIEW_IMAGES, mirrored_centre
from towers.onnx_export import session
from towers.preprocess import preprocess
from towers.served_text import ServedText
from towers.wordpiece import WordPiece

MODEL = Path(__file__).parents[2] / "api/model"
LANGUAGES = ("en", "de", "fr", "cs")
SEED = 0


def main() -> None:
    data, file = Path(sys.argv[1]), MODEL / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    text = manifest["text"]
    # Captions are shorter than a part of the partition: the whole graph in one run computes the same, and faster.
    whole = {name: value for name, value in text.items() if name != "partition"}
    wordpiece, served = WordPiece.read(MODEL / "vocabulary.txt"), ServedText(MODEL, whole)

    def embed(texts: list[str]) -> np.ndarray:
        return served.embed(wordpiece.encode(texts, text["context_length"]))

    tower, recipe = session(MODEL / "image.onnx"), manifest["image"]["preprocess"]
    images, views, captions = [], [], []
    with tarfile.open(data / "flickr8k/flickr8k-dev-000.tar") as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            if member.name.endswith(".json"):
                captions.append(json.load(content)["captions"])
                continue
            image = Image.open(io.BytesIO(content.read())).convert("RGB")
            images.append(vector_of(tower, preprocess(image, recipe)))
            if len(views) < VIEW_IMAGES:
                views.append(vector_of(tower, preprocess(mirrored_centre(image), recipe)))
    image_of_text = np.array([number for number, five in enumerate(captions) for _ in five])
    texts_NE, images_ME = embed([caption for five in captions for caption in five]), np.stack(images)
    found = score_distributions(texts_NE, image_of_text, images_ME, np.stack(views), np.random.default_rng(SEED))
    manifest["score_distributions"] = rounded(found)

    with gzip.open(data / "text/multi30k-en-de-fr-cs.dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    vectors = {language: embed([row[language] for row in rows]) for language in LANGUAGES}
    manifest["languages"] = [
        {"language": language, "metrics": figures(vectors[language], vectors["en"], manifest["metrics"])}
        for language in LANGUAGES
    ]
    load("ModelManifest", json.dumps(manifest))
    order = ["score_distributions", "languages", "golden", "metrics", "lineage"]
    manifest = {name: manifest[name] for name in [*(n for n in manifest if n not in order), *order]}
    file.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for entry in manifest["languages"]:
        print(entry)
    for name in ("text_image", "text_text", "image_image"):
        print(
            name,
            [
                (round(c, 2), round(r, 1))
                for c, r in zip(found[name]["cosines"], found[name]["log_ratios"], strict=True)
            ],
        )


def vector_of(tower, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(tower.run(["embedding"], {"pixels": pixels[None]})[0])[0]


def figures(vectors_NE: np.ndarray, english_NE: np.ndarray, metrics: dict[str, float]) -> dict[str, float]:
    """English: of captions and photos. Others: how often a sentence finds its own English translation first."""
    if vectors_NE is english_NE:
        return {name: metrics[f"student.{name}"] for name in ("text_to_image_R@1", "text_to_image_R@10")}
    best_N = (vectors_NE @ english_NE.T).argmax(1)
    own_N = (vectors_NE * english_NE).sum(1)
    return {
        "translation_to_english_R@1": round(float((best_N == np.arange(len(best_N))).mean()), 4),
        "cosine_to_english": round(float(own_N.mean()), 4),
    }


def rounded(document):
    """Six digits after the point, which a cosine of float32 vectors has."""
    return json.loads(
        re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda number: repr(round(float(number[0]), 6)), json.dumps(document))
    )


if __name__ == "__main__":
    main()
