"""What a stage reads from the store while it runs: shards that are fetched by nobody before it starts.

`clip` reads images, their rows and the features of their captions, right and wrong, and of their regions, shard by shard, in the
order of its epochs: each machine copies those of its own part of a batch, ahead of need, and deletes what is behind (trainer/data/copies.py). Where the
activations of images are stored instead, it reads no images at all, and rows, captions and features whole. `inherit` reads the
first train images, which are in the first tars.
"""

import json
import re

from container.fetch import Fetch
from container.folders import open_folder
from contracts.types import ClipConfig, TrainingJob

IMAGES = re.compile(r"[^/]+\.tar")
WITH_ROWS = re.compile(r"[^/]+\.tar|pairs\.train-\d+\.jsonl")
SETS = r"(pairs|negatives|regions)\.train"
FEATURES = re.compile(rf"{SETS}/features-\d+\.safetensors|captions\.{SETS}\.jsonl")
CROPS = "crops.json"  # by embed_images: whether images are streamed


def left_to_stream(job: TrainingJob, fetches: list[Fetch]) -> list[Fetch]:
    """The files of `fetches` that stay in the store."""
    inputs, config = job["inputs"], job["config"]
    if config["stage"] not in ("clip", "inherit"):
        return []
    wanted = {inputs["prepare"]: IMAGES}
    if config["stage"] == "clip" and "streamed" in json.loads(open_folder(inputs["embed_images"]).read(CROPS) or b"{}"):
        wanted[inputs["embed_captions"]] = FEATURES
        if not reads_first_rows(config):
            wanted[inputs["prepare"]] = WITH_ROWS
    # Each is compared with its manifest when it is copied.
    return [fetch for fetch in fetches if fetch.folder.uri in wanted and wanted[fetch.folder.uri].fullmatch(fetch.path)]


def reads_first_rows(config: ClipConfig) -> bool:
    """Whether `clip` looks at rows before it streams: for the control's vocabulary, or for whether captions have roles."""
    return config["text_tower"] == "scratch" or "caption_shares" in config
