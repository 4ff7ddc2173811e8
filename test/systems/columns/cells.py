"""Runs each column of a system: functions that return what they found in a few words, and raise where it is not as it should be."""

import json
import shutil
import tarfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from columns import languages
from columns import towers as image_towers
from columns.imports import ImportRow, Means
from columns.own_texts import check_own_texts
from columns.pipeline import Pipeline, Training
from columns.system import COLUMNS, SERVES, Failed, Import, NotRun, System
from edge_clip import load
from evaluation.__main__ import main as evaluate_command

TEXTS = ["a red circle", "there is a blue square number 7", "two lines , one of them black"]
PARITY = 0.9999  # least cosine of a served image vector to PyTorch's
DEV_SET = "flickr"


class Cells:
    """The columns of every system, over one folder and one `Pipeline`; twins are written once."""

    def __init__(self, folder: Path, picture: Path) -> None:
        self.folder, self.picture = folder, picture
        self.twins: dict[str, Any] = {}

    @cached_property
    def pipeline(self) -> Pipeline:
        """The stages, once one is needed."""
        return Pipeline(self.folder / "stages")

    def of(self, system: System | Import) -> dict[str, Callable[[], Any]]:
        """By column, all but the service, which the caller has."""
        if isinstance(system, Import):
            means = Means(self.small_set, evaluated, self.students)
            return ImportRow(self.folder, self.picture, system, means).columns()
        row = Row(self, system)
        if system.missing:
            return {column: row.missing for column in COLUMNS if column != SERVES}
        return {
            "constructs": row.constructs,
            "loads": row.loads,
            "trains": row.trains,
            "exports": row.exports,
            "evaluates": row.evaluates,
        }

    def small_set(self) -> Path:
        """The small recipe's dev pictures as a data folder."""
        folder = self.folder / "data"
        if not folder.exists():
            write_flickr(self.pipeline.small.data / "dev", folder)
        return folder

    def students(self, checkpoint: str) -> Path:
        """The run in which text students learn a checkpoint from the small recipe's captions."""
        small = self.pipeline.small
        config = {"stage": "imitate", **small.config("imitate"), "checkpoint": checkpoint}
        return self.pipeline.run(config, {"data": small.data})

    def twin(self, part: Any) -> tuple[Path, Any]:
        """The folder of a tower's or a teacher's twin, and what a recipe says of it."""
        folder = self.folder / "twins" / "".join(c if c.isalnum() else "-" for c in part.name)
        if part.name not in self.twins:
            self.twins[part.name] = part.write(folder)
        return folder, self.twins[part.name]


class Row:
    """The columns of one system."""

    def __init__(self, cells: Cells, system: System) -> None:
        self.cells, self.system = cells, system

    @cached_property
    def training(self) -> Training:
        """Its stages."""
        return Training(
            self.cells.pipeline,
            self.system,
            self.cells.twin(self.system.tower)[1],
            self.cells.twin(self.system.language)[1],
        )

    def missing(self) -> str:
        """Of a system that nothing here trains."""
        raise NotRun(self.system.missing)

    def constructs(self) -> str:
        """The published models of both sides, on the meta device."""
        said = []
        if "tower" in self.system.shows:
            said.append(image_towers.construct(self.system.tower))
        if "language" in self.system.shows:
            said.append(f"{self.system.language.name} {languages.construct(self.system.language)}")
        return ", ".join(said)

    def loads(self) -> str:
        """The twins of both sides, against their libraries."""
        said = []
        if "tower" in self.system.shows:
            said.append(image_towers.load(self.system.tower, *self.cells.twin(self.system.tower)))
        if "language" in self.system.shows:
            said.append(languages.load(self.system.language, *self.cells.twin(self.system.language)))
        return ", ".join(said)

    def trains(self) -> str:
        """Every stage up to the students; what `clip` was to train has changed, and what it was not has not."""
        self.training.of("distill")
        config, clip = self.training.config("clip"), self.training.of("clip")
        changed = self.changed_tensors(clip)
        is_frozen = self.training.config("embed_images")["first_trainable_block"] is None
        if is_frozen == bool(changed):
            raise Failed(f"{changed} tensors of the image tower have changed")
        steps = config["schedule"]["steps"]
        size = self.training.config("inherit")["backbone"]["size"]
        loss = config.get("loss", "softmax")
        said = f"{steps} steps a stage at {size} px, {loss} loss, {changed} tensors of the tower changed"
        return f"{said}, {self.own_texts()}" if self.system.own_texts else said

    def own_texts(self) -> str:
        """Features and vectors of captions where the checkpoint's own text encoder is a teacher as well."""
        embedded, clip, language = self.training.of("embed_captions"), self.training.of("clip"), self.system.language
        folder, _ = self.cells.twin(language)
        return check_own_texts(embedded, clip, self.training.backbone, lambda texts: language.reference(folder, texts))

    def changed_tensors(self, clip: Path) -> int:
        """Tensors of the image tower that are others after `clip`; resized position embeddings are not compared."""
        from towers.image.backbone import create_backbone
        from towers.image.tower import ImageTower

        torch.manual_seed(0)
        size = self.system.tower.size
        before = ImageTower(create_backbone(self.training.backbone, size), 1).state_dict()
        after = load_file(clip / "image_tower.safetensors")
        names = [name for name in before if name.startswith("backbone.") and name in after]
        if not names:
            raise Failed(f"the trained tower has none of the tensors of the twin, but {sorted(after)[:3]}")
        return sum(not torch.equal(before[name].float(), after[name].float()) for name in names)

    def exports(self) -> dict[str, Any]:
        """The model, what its graphs are worth, and the vectors that a server has to give."""
        folder, metrics = (self.training.of("export"), self.training.report("export")["metrics"])
        parity = metrics["parity.image.worst"]
        if not parity >= PARITY:
            raise Failed(f"a vector of the ONNX graph has a cosine of {parity:.6f} to PyTorch's")
        model = load(folder, device="cpu")
        found = model.embed(TEXTS, [self.cells.picture])
        expected = {"texts": found.texts.tolist(), "image": found.images[0].tolist()}
        return {
            "said": f"images {parity:.6f}, texts {metrics['parity.text.worst']:.4f} at worst",
            "folder": str(folder),
            "texts": TEXTS,
            "picture": str(self.cells.picture),
            "expected": expected,
        }

    def evaluates(self) -> str:
        """The stage `evaluate`, and the command on the exported model with a small set in the layout of Flickr8k."""
        self.training.of("evaluate")
        return evaluated(self.training.of("export"), self.cells.small_set())


def write_flickr(pictures: Path, folder: Path) -> None:
    """Pictures KEY.jpg with captions in KEY.txt, as the dev split of Flickr8k lies in a data folder."""
    place = folder / "flickr8k"
    place.mkdir(parents=True)
    rows = []
    with tarfile.open(place / "flickr8k-dev-000.tar", "w") as archive:
        for file in sorted(pictures.glob("*.jpg")):
            archive.add(file, file.name)
            captions = file.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
            rows.append({"key": file.stem, "captions": captions, "shard": "flickr8k-dev-000.tar"})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (place / "flickr8k-dev.captions.jsonl").write_text(lines, encoding="utf-8")


def evaluated(model: Path, data: Path) -> str:
    """`npm run evaluate` on a model folder."""
    import contextlib
    import io
    import sys

    said, before = io.StringIO(), sys.argv
    cache = data.parent / "vectors"
    shutil.rmtree(cache, ignore_errors=True)
    sys.argv = ["evaluate", str(model), f"--data={data}", f"--cache={cache}", f"--only={DEV_SET}", "--json"]
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
            code = evaluate_command()
    finally:
        sys.argv = before
    if code:
        raise Failed(f"the command ended with {code}: {said.getvalue()[:200]}")
    sets = json.loads(said.getvalue())["sets"]
    recall = sets[DEV_SET]
    return f"{len(recall)} tiers"
