"""The image side of an adaptation: views of all images at a cut, and vectors by the part of the tower that is trained."""

from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from contracts.types import AdaptConfig
from engine.run import Run
from towers.adaptation.own_data import Pictures
from towers.adaptation.views import Camera, Views
from towers.adaptation.write_model import Base
from towers.from_model import INPUT, OUTPUT, Cut, ImageGraph
from towers.image.tower import as_read

MOST_VALUES = 1 << 16  # kept of one view of an image: 128 KiB


class ImageSide:
    """Views of all images at the cut, and vectors of them: as they are served, or by the trained part of the tower."""

    def __init__(self, run: Run[AdaptConfig], base: Base, pictures: Pictures) -> None:
        self.run, self.base, self.pictures = run, base, pictures
        config = run.config
        self.graph = ImageGraph(base.folder / base.manifest["image"]["graph"]["file"]["path"])
        self.tail: nn.Module | None = None
        cut_at = Cut(OUTPUT, 0, base.manifest["embed_dim"])
        if config["space"] == "new":
            cut_at = self.graph.choose(config["image_fraction"], MOST_VALUES)
            self.tail = self.graph.tail(cut_at).to(run.device)
        self.session = self.graph.session([cut_at.tensor])
        size = (1, *self.graph.pixels())
        shape = np.asarray(self.session.run(None, {INPUT: np.zeros(size, np.float32)})[0]).shape[1:]
        state = run.resume("checkpoint-views") or {"train": 0, "dev": 0}
        views = 1 + config["crops"]
        self.train = Views(run.output / "views-train.npy", len(pictures.train), views, shape, state["train"])
        self.dev = Views(run.output / "views-dev.npy", len(pictures.dev), 1, shape, state["dev"])

    def look(self) -> None:
        """Run the frozen part over everything that is not yet kept."""
        camera = Camera(self.session, self.base.manifest["image"]["preprocess"], self.run.config["crop_scale"])
        total = len(self.pictures.train) + len(self.pictures.dev)

        def on_images(_: int) -> None:
            done = {"train": self.train.done, "dev": self.dev.done}
            self.run.tick(sum(done.values()), total, lambda: done, "checkpoint-views")

        self.train.fill(self.pictures.train, camera, self.run.seed, on_images)
        self.dev.fill(self.pictures.dev, camera, self.run.seed, on_images)
        self.run.save({"train": self.train.done, "dev": self.dev.done}, "checkpoint-views")

    def vectors(self, rows: np.ndarray, views: np.ndarray) -> torch.Tensor:
        """Unit vectors [B, E] of views of images to learn from, with gradients where the tower is trained."""
        x = as_read(self.train.rows[rows, views], self.run.device)
        return F.normalize(x, dim=-1) if self.tail is None else self.tail(x)

    @torch.no_grad()
    def dev_vectors(self) -> np.ndarray:
        """Unit vectors [I, E] of the images to measure on, as they are served."""
        parts = []
        for start in range(0, len(self.pictures.dev), 32):
            x = torch.from_numpy(np.array(self.dev.rows[start : start + 32, 0])).to(self.run.device).float()
            parts.append((F.normalize(x, dim=-1) if self.tail is None else self.tail(x)).cpu())
        return torch.cat(parts).numpy()

    def put_back(self) -> ImageGraph | None:
        """The graph with the trained weights; None where it stays. Its vectors from now on are those of the stored weights."""
        if self.tail is None:
            return None
        cast(Any, self.tail).put_back(self.graph)
        start = cast(Any, self.tail).start
        self.tail = self.graph.tail(Cut(start, 0, 0)).to(self.run.device)
        return self.graph

    def close(self) -> None:
        """Remove what can be made again."""
        self.train.close()
        self.dev.close()
