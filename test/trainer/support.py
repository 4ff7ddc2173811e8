"""Help for stage tests: writes jobs, runs stages as processes the way the control plane does, makes tiny inputs."""

import fcntl
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import towers  # noqa: F401  (makes transformers importable beside a CPU build of torch)
from bench import job as jobs
from bench.small_models import COLOURS, SHAPES, byte_level_tokenizer, drawing, write_llama
from warm import ROOT, STAGE_ENV, warm_python


def write_tiered_model(folder: Path) -> None:
    """A complete model of three tiers with random weights, as a server opens it (test/support/tiered_model.py)."""
    script = ROOT / "test/support/tiered_model.py"
    subprocess.run([warm_python(), "-W", "ignore", str(script), str(folder)], check=True, env=STAGE_ENV)


def schedule(steps: int, lr: float = 1e-3, warmup_steps: int = 1) -> dict[str, Any]:
    """A short schedule with every field that the contract asks for."""
    return {
        "steps": steps,
        "warmup_steps": warmup_steps,
        "lr": lr,
        "weight_decay": 0.01,
        "grad_clip": 1.0,
        "decay": "cosine",
    }


def write_job(
    folder: Path, stage: str, inputs: dict[str, Path], config: dict[str, Any], name: str | None = None
) -> Path:
    """job.json of one stage; the output folder is `folder/<name or stage>`. Returns the job's path."""
    return jobs.write_job(folder / (name or stage), {"stage": stage, **config}, inputs, recipe="test", seed=0)


def run_stage(job: Path, expect: int = 0) -> dict[str, Any]:
    """Run the stage of a job to its end; returns its report (empty when it did not succeed)."""
    stage = json.loads(job.read_text())["config"]["stage"]
    done = subprocess.run(
        [warm_python(), "-W", "ignore", "-m", f"stages.{stage}", str(job)],
        env=STAGE_ENV,
        cwd=ROOT / "trainer",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == expect, f"exit {done.returncode}, expected {expect}\n{done.stderr[-3000:]}"
    report = job.parent / "report.json"
    return json.loads(report.read_text()) if report.exists() else {}


def interrupt_stage(job: Path, at_step: int) -> int:
    """Start a stage, send SIGTERM as soon as it reports `at_step`, and return its exit code.

    Its output is a pipe that holds one line: a stage of quick steps waits for its reader, and is at most two steps further
    when the signal comes.
    """
    stage = json.loads(job.read_text())["config"]["stage"]
    reading, writing = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)  # each write is a packet, and a packet takes a page
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, os.sysconf("SC_PAGESIZE"))
    process = subprocess.Popen(
        [warm_python(), "-W", "ignore", "-m", f"stages.{stage}", str(job)],
        env=STAGE_ENV | {"PROGRESS_SECONDS": "0"},
        cwd=ROOT / "trainer",
        stdout=writing,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with open(reading) as progress:
        deadline = time.monotonic() + 240
        for line in progress:
            if json.loads(line)["step"] >= at_step or time.monotonic() > deadline:
                process.terminate()
                time.sleep(0.2)  # what was started passes the signal on to the stage, which waits meanwhile
                break
        progress.read()
    return process.wait(timeout=60)


def draw_images(folder: Path, count: int, size: tuple[int, int] = (48, 40)) -> list[dict[str, Any]]:
    """Drawn images with captions that describe them, KEY.jpg beside KEY.txt; returns {key, captions}."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        image, colour, shape = drawing(number, size)
        key = f"drawn{number:03d}"
        image.save(folder / f"{key}.jpg", quality=90)
        captions = [
            f"A {colour} {shape} number {number} on a plain field .",
            f"there is a {shape} that is {colour} {number}",
        ]
        (folder / f"{key}.txt").write_text("\n".join(captions))
        rows.append({"key": key, "captions": captions})
    return rows


def write_captioned_noise(listing: Path, folder: Path) -> None:
    """132 pictures of random pixels in `folder`, and `listing` with a row for each: three of each of 44 things, in two captions."""
    import numpy as np
    from PIL import Image

    colours = ["red", "green", "blue", "black", "white", "yellow", "pink", "brown", "grey", "orange", "purple"]
    things = ["dog", "boat", "girl", "rock"]
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(132):
        picture = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (24, 24, 3)).astype(np.uint8)).save(picture)
        # 11 and 4 have no common divisor: 44 numbers go by before a pair of both comes again.
        thing = f"{colours[number % 11]} {things[number % 4]}"
        captions = [f"a {thing} is standing there in front of the old house by the sea"]
        captions += [f"there is the {thing} on its way to us now"]
        rows.append({"file_name": picture.relative_to(listing.parent).as_posix(), "captions": captions})
    listing.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def tiny_language_model(folder: Path) -> Path:
    """A random Llama of 2 layers x 32 with a byte-level vocabulary, in the Hugging Face folder layout."""
    import torch

    torch.manual_seed(0)
    words = [f"a {colour} {shape} on a plain field there is that" for colour in COLOURS for shape in SHAPES]
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    write_llama(folder, byte_level_tokenizer(words, 300), **shape, **heads, max_position_embeddings=512)
    return folder


TINY_VISION = {"layers": 2, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 64}


def tiny_clip(folder: Path, vision: dict[str, Any], embed_dim: int = 16) -> str:
    """A random two-tower checkpoint in open_clip's folder layout; returns its name for a recipe."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    text = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    config = {
        "model_cfg": {"embed_dim": embed_dim, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "resize_mode": "shortest"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    return f"open_clip:local-dir:{folder}"
