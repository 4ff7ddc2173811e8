"""A search anyone understands: sentences over the dev photos bring a right photo into the top five.

A photo is right when one of its five human captions matches every pattern beside the sentence. The photos may not be
redistributed: without them (CLIP_DATA, or the recipe's data folder) this test is skipped.
"""

import json
import os
import re
import tarfile

import numpy as np
import pytest

from towers.onnx_export import session
from towers.preprocess import preprocess
from towers.served_text import ServedText
from towers.wordpiece import WordPiece
from warm import ROOT

SEARCHES = [
    ("a dog running through snow", ["dog", "snow"]),
    ("a brown dog on the beach", ["dog", "beach|sand|ocean|shore"]),
    ("a dog swimming in the water", ["dog", "swim|water"]),
    ("a dog catching a frisbee", ["dog", "frisbee|disc"]),
    ("a dog with a ball in its mouth", ["dog", "ball"]),
    ("two dogs playing with each other", ["dogs", "two|play"]),
    ("a greyhound race", ["greyhound|dogs?", "rac(e|ing)"]),
    ("a man climbing a rock wall", ["climb", "rock|cliff|wall"]),
    ("a surfer riding a wave", ["surf", "wave"]),
    ("a man riding a bicycle", ["bik|bicycl|cycl"]),
    ("a motorcycle race", ["motor|dirt ?bike", "rac|rid|bike"]),
    ("a skateboarder doing a trick", ["skateboard"]),
    ("a snowboarder jumping in the air", ["snowboard|ski"]),
    ("children playing in a swimming pool", ["pool"]),
    ("a football player in a red uniform", ["football|player", "red"]),
    ("a basketball game", ["basketball"]),
    ("a girl on a swing", ["swing"]),
    ("people hiking in the mountains", ["mountain|hik|hill"]),
    ("a baby in a crib or a bath", ["baby|infant|toddler|child"]),
    ("a crowd of people in a city street", ["street|city|crowd|people"]),
    ("boys playing soccer on a field", ["soccer|football|ball"]),
    ("a person in a kayak", ["kayak|canoe|raft|boat"]),
]


def dev_photos():
    data = json.loads((ROOT / "trainer/recipes/embedded.json").read_text())["data"]
    folder = os.environ.get("CLIP_DATA") or ROOT / "trainer" / "recipes" / data
    return (ROOT / folder / "flickr8k" / "flickr8k-dev-000.tar").resolve()


@pytest.fixture(scope="module")
def photos():
    if not dev_photos().exists():
        pytest.skip("the Flickr8k dev photos are not here (CLIP_DATA names the folder that holds flickr8k/)")
    manifest = json.loads((ROOT / "api/model/manifest.json").read_text())
    tower, captions, vectors = session(ROOT / "api/model/image.onnx"), [], []
    with tarfile.open(dev_photos()) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            data = file.read()
            if member.name.endswith(".json"):
                captions.append([caption.lower() for caption in json.loads(data)["captions"]])
            else:
                pixels = preprocess(data, manifest["image"]["preprocess"])
                vectors.append(np.asarray(tower.run(None, {"pixels": pixels[None]})[0])[0])
    return captions, np.stack(vectors)


@pytest.fixture(scope="module")
def texts():
    text = json.loads((ROOT / "api/model/manifest.json").read_text())["text"]
    wordpiece = WordPiece.read(ROOT / "api/model/vocabulary.txt")
    served = ServedText(ROOT / "api/model", text)
    return served.embed(wordpiece.encode([sentence for sentence, _ in SEARCHES], text["context_length"]))


@pytest.mark.parametrize("number", range(len(SEARCHES)), ids=[sentence for sentence, _ in SEARCHES])
def test_a_right_photo_is_in_the_top_five(number, photos, texts):
    captions, vectors = photos
    best = np.argsort(-(vectors @ texts[number]))[:5]
    patterns = SEARCHES[number][1]
    right = [i for i in best if any(all(re.search(p, caption) for p in patterns) for caption in captions[i])]
    assert right, f"top five: {[captions[i][0] for i in best]}"


def test_the_judgement_can_fail(photos):
    captions, _ = photos
    rights = [
        np.mean([any(all(re.search(p, caption) for p in patterns) for caption in five) for five in captions])
        for _, patterns in SEARCHES
    ]
    # Five random photos would hold a right one in less than half of the searches.
    assert np.mean([1 - (1 - share) ** 5 for share in rights]) < 0.5
