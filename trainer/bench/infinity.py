"""Photographs through infinity's own engine, in one thread; for `npm run bench:images -- --infinity`.

infinity (`infinity-emb`) has an ONNX engine for texts. Its image engine is PyTorch alone: `ImageEmbedEngine` has one member, a
`transformers` model with `get_image_features`. So the exported graph that we serve stands in such a model here, as its user
would have to write it, and everything around it is infinity's: its reading of files, `CLIPImageProcessor`, its batches and its
threads. No HTTP. A round for each line of the input: CPU milliseconds and vectors [N, E], as in `bench.images`.
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import towers  # noqa: F401 - makes torchvision, which transformers imports, importable beside a CPU build of torch

# isort: split
import numpy as np
import torch
from infinity_emb import AsyncEmbeddingEngine, EngineArgs  # pyright: ignore[reportMissingImports] - of the run alone
from transformers import AutoConfig, AutoModel, AutoProcessor, CLIPImageProcessor, PretrainedConfig

from bench.images import BATCH, onnx_runtime
from towers.exported_files import read_manifest

MODEL = Path(sys.argv[2])


class TowerConfig(PretrainedConfig):
    """What `transformers` finds the classes below by."""

    model_type = "exported_tower"


class Tower:
    """The exported graph behind the methods that infinity calls."""

    config_class = TowerConfig
    config, device, dtype = SimpleNamespace(), torch.device("cpu"), torch.float32

    def __init__(self) -> None:
        """Opens the graph."""
        self.run = onnx_runtime(MODEL)

    @classmethod
    def from_pretrained(cls, *_: Any, **__: Any) -> "Tower":
        """The only one there is."""
        return cls()

    def get_image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """[B, 3, S, S] to [B, E]."""
        return torch.from_numpy(self.run(pixel_values))

    def get_text_features(self, **_: Any) -> torch.Tensor:
        """Never called; infinity refuses a model without it."""
        raise NotImplementedError("images only")


class Processor:
    """CLIP's image processor by the manifest's preprocessing recipe."""

    def __init__(self) -> None:
        """Refuses a recipe that is not the one of the embedded model in kind."""
        shape: Any = read_manifest(MODEL)["image"]["preprocess"]
        if shape["resize_mode"] != "squash" or shape["interpolation"] != "bicubic":
            raise SystemExit("infinity is measured with towers whose pictures are squashed by the bicubic filter")
        self.images = CLIPImageProcessor(
            size={"height": shape["size"], "width": shape["size"]},
            do_center_crop=False,
            image_mean=shape["mean"],
            image_std=shape["std"],
        )

    @classmethod
    def from_pretrained(cls, *_: Any, **__: Any) -> "Processor":
        """The only one there is."""
        return cls()

    def __call__(self, images: list[Any], return_tensors: str, **_: Any) -> Any:
        """Pillow images to `pixel_values` [B, 3, S, S]."""
        return self.images(images, return_tensors=return_tensors)


def open_engine(folder: Path) -> AsyncEmbeddingEngine:
    """infinity's engine over a model folder that has nothing but a configuration."""
    AutoConfig.register(TowerConfig.model_type, TowerConfig)
    AutoModel.register(TowerConfig, Tower)  # pyright: ignore[reportArgumentType] - it has what infinity calls
    AutoProcessor.register(TowerConfig, Processor)
    config = {"model_type": TowerConfig.model_type, "architectures": ["Tower"], "vision_config": {"hidden_size": 1}}
    (folder / "config.json").write_text(json.dumps(config))
    arguments = EngineArgs(
        model_name_or_path=str(folder), engine="torch", device="cpu", batch_size=BATCH, model_warmup=False
    )
    return AsyncEmbeddingEngine.from_args(arguments)


async def rounds(files: list[bytes]) -> None:
    """Until the input ends."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(Path(folder))
        async with engine:
            while await asyncio.to_thread(sys.stdin.readline):
                before = time.process_time()
                vectors, _ = await engine.image_embed(images=[*files])
                ms = 1000 * (time.process_time() - before)
                print(json.dumps({"ms": ms, "vectors": np.asarray(vectors).tolist()}), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    asyncio.run(rounds([path.read_bytes() for path in sorted(Path(sys.argv[1]).glob("*.jpg"))]))
