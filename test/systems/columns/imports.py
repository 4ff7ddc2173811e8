"""The columns of an import: a published checkpoint in, served as it is, and out again for its library."""

import argparse
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import open_clip
import torch
import transformers
from opened_exports import opened
from published_layouts import EXPORTS, LAYOUTS, Library

from columns.system import Failed, Import, near
from contracts.constants import FILE_REPORT
from edge_clip import load
from exchange.__main__ import run_export
from exchange.incoming.read import read_checkpoint
from exchange.incoming.take_in import ImportOptions, import_into
from exchange.incoming.teachable import Wanted, teachable
from exchange.refusal import CannotExpress
from towers.exported_files import read_manifest
from towers.preprocess import preprocess

TEXTS = ["a red circle", "There is a blue square, number 7", "two lines one of them black"]
CLOSE = 1e-5  # of a number in a unit vector, to the library's
EQUAL = 1e-4  # the same after export: matrices are float16 in between
INT8 = 0.99  # least cosine of a served text to a library's float layers
MILLIONS = 0.05  # parameters that a published figure is rounded by, at most
# Where the defaults of transformers' configuration are not those of the published B model.
PUBLISHED: dict[str, Any] = {"Siglip2Model": {"text_config": {"vocab_size": 256_000}}}


class Means(NamedTuple):
    """What the columns of all imports share.

    `small_set` makes a data folder, `evaluated` runs the command on a model with one, `students` trains text students of a checkpoint
    by the stage `imitate` and returns its run.
    """

    small_set: Callable[[], Path]
    evaluated: Callable[[Path, Path], str]
    students: Callable[[str], Path]


class ImportRow:
    """The columns of one layout."""

    def __init__(self, folder: Path, picture: Path, row: Import, means: Means) -> None:
        self.folder, self.picture, self.row = folder / "imports" / row.layout, picture, row
        self.means = means

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
        return self.taken_in("model")

    def taken_in(self, name: str, students: Path | None = None) -> Path:
        """Import the twin into a folder, with its own text tower or with students that have learned it."""
        assert self.library is not None
        options = ImportOptions(
            self.row.layout, "1", self.picture.parent, self.row.layout, "random weights", students=students
        )
        import_into(self.folder / "published", self.folder / name, options)
        return self.folder / name

    def constructs(self) -> str:
        """A published model of the layout, both towers, by its library on the meta device."""
        with torch.device("meta"):
            model = full_size(self.row.published)
        count = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        if abs(count - self.row.millions) > MILLIONS:
            raise Failed(f"{self.row.published} has {count:.2f} M parameters, published are {self.row.millions:.2f} M")
        return f"{self.row.published}, {count:.1f} M"

    def trains(self) -> str:
        """Text students learn the twin's text vectors (`import --distil`), and are served with its own image tower."""
        assert self.library is not None
        run = self.means.students(teachable(self.folder / "published", Wanted()))
        metrics = json.loads((run / FILE_REPORT).read_text(encoding="utf-8"))["metrics"]
        taught = load(self.taken_in("taught", run), device="cpu").embed(TEXTS, [str(self.picture)])
        own = load(self.model, device="cpu").embed(TEXTS, [str(self.picture)])
        if not np.array_equal(taught.images, own.images):
            raise Failed("with students the picture has another vector than with the twin's own text tower")
        if not np.isfinite(taught.texts).all() or np.allclose(taught.texts, own.texts):
            raise Failed("the texts of the students are not their own")
        return f"students of its texts, cosine {metrics['student.dev_cosine']:.2f} on captions that were held out"

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
        try:
            run_export(given)
        except CannotExpress as error:
            if isinstance(expected, str):
                return f"{layout} refused, as it has no such shape"
            raise Failed(f"the export as {layout} was refused: {error}") from error
        if isinstance(expected, str):
            raise Failed(f"{layout} was written, and no shape of it was expected")
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
        return self.means.evaluated(self.model, self.means.small_set())


def full_size(name: str) -> Any:
    """A published model by the name of transformers' class, whose defaults are those of the B model, or by open_clip's name."""
    published = getattr(transformers, name, None)
    if published is not None:
        return published(published.config_class(**PUBLISHED.get(name, {})))
    return open_clip.create_model(name, load_weights=False, device="meta")
