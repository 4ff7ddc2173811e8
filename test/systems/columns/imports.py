"""The columns of an import: a published checkpoint in, served as it is, and out again for its library."""

import argparse
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from opened_exports import opened
from published_layouts import EXPORTS, LAYOUTS, Library

from columns.system import Failed, Import, NotRun, near
from edge_clip import load
from exchange.__main__ import run_export
from exchange.incoming.read import read_checkpoint
from exchange.incoming.take_in import ImportOptions, import_into
from towers.exported_files import read_manifest
from towers.preprocess import preprocess

TEXTS = ["a red circle", "There is a blue square, number 7", "two lines one of them black"]
CLOSE = 1e-5  # of a number in a unit vector, to the library's
EQUAL = 1e-4  # the same after export: matrices are float16 in between
INT8 = 0.99  # least cosine of a served text to a library's float layers


class ImportRow:
    """The columns of one layout; `small_set` makes a data folder, `evaluated` runs the command on a model."""

    def __init__(
        self,
        folder: Path,
        picture: Path,
        row: Import,
        small_set: Callable[[], Path],
        evaluated: Callable[[Path, Path], str],
    ) -> None:
        self.folder, self.picture, self.row = folder / "imports" / row.layout, picture, row
        self.small_set, self.evaluated = small_set, evaluated

    def columns(self) -> dict[str, Callable[[], Any]]:
        """All but the service, which the caller has."""
        return {
            "constructs": self.constructs,
            "loads": self.loads,
            "trains": self.trains,
            "exports": self.exports,
            "evaluates": self.evaluates,
        }

    @cached_property
    def library(self) -> Library:
        """The twin, in its folder."""
        self.folder.mkdir(parents=True)
        return LAYOUTS[self.row.layout](self.folder / "published")

    @cached_property
    def model(self) -> Path:
        """The folder of the imported model."""
        assert self.library is not None
        photos = self.picture.parent
        options = ImportOptions(self.row.layout, "1", photos, self.row.layout, "random weights")
        import_into(self.folder / "published", self.folder / "model", options)
        return self.folder / "model"

    def constructs(self) -> str:
        """There is nothing to construct."""
        raise NotRun("an import opens what is there; the towers of its sizes are rows of their own")

    def trains(self) -> str:
        """An import is served as it is."""
        raise NotRun(
            "an import is not trained; `import --distil` trains text students, which test/journeys/imported.test.ts runs"
        )

    @torch.no_grad()
    def loads(self) -> str:
        """Both towers of the twin, against its library."""
        library, checkpoint = self.library, read_checkpoint(self.folder / "published")
        ids = checkpoint.tokenizer.encode(TEXTS, checkpoint.text.shape.context_length)
        texts = np.stack([checkpoint.text.embed(row).numpy() for row in ids])
        pixels = torch.from_numpy(preprocess(self.picture.read_bytes(), checkpoint.preprocess))[None]
        apart = max(
            float(np.abs(texts - library.texts(TEXTS).numpy()).max()),
            float((checkpoint.image(pixels) - library.images(pixels)).abs().max()),
        )
        if not apart <= CLOSE:
            raise Failed(f"vectors are {apart:.1e} from those of the library")
        return f"texts and a picture {near(apart)} the library"

    def exports(self) -> dict[str, Any]:
        """The served graphs, and every format that has the layout, opened by its library."""
        found = load(self.model, device="cpu").embed(TEXTS, [str(self.picture)])
        said = [self.goes_out(layout, found.texts, found.images) for layout in EXPORTS[self.row.layout]]
        expected = {"texts": found.texts.tolist(), "image": found.images[0].tolist()}
        return {
            "said": "; ".join(said),
            "folder": str(self.model),
            "texts": TEXTS,
            "picture": str(self.picture),
            "expected": expected,
        }

    def goes_out(self, layout: str, texts_NE: np.ndarray, images_1E: np.ndarray) -> str:
        """Export, open, compare with the served vectors; in a few words."""
        expected, out = EXPORTS[self.row.layout][layout], self.folder / layout
        given = argparse.Namespace(model=self.model, format=layout, to=out, tier="", distill=None, clip=None, json=True)
        code = run_export(given)
        if isinstance(expected, str):
            if code == 0:
                raise Failed(f"{layout} was written, and no shape of it was expected")
            return f"{layout} refused, as it has no such shape"
        if code != 0:
            raise Failed(f"the export as {layout} ended with {code}")
        recipe = read_manifest(self.model)["image"]["preprocess"]
        apart = 0.0
        for folder in expected:
            found = opened(layout, out / folder, TEXTS, self.picture, recipe)
            if "images" in found:
                apart = float(np.abs(found["images"] - images_1E).max())
            if "texts" in found and (found["texts"] * texts_NE).sum(1).min() < INT8:
                raise Failed(f"texts of {layout} are others than the served ones")
        if not apart <= EQUAL:
            raise Failed(f"pictures of {layout} are {apart:.1e} from the served ones")
        return f"{layout}, pictures within {apart:.0e}"

    def evaluates(self) -> str:
        """The command on the imported model with a small set in the layout of Flickr8k."""
        return self.evaluated(self.model, self.small_set())
