"""The distillation of a published checkpoint: captions without images, and targets that need no teacher of ours.

Shapes: N texts, E joint dimensions.
"""

from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional as F

from contracts.types import DistillConfig, DistillConfigMix, ImitateConfig
from data.features import WholeFeatures
from engine.run import Run
from towers.distillation import Distillation
from towers.imitation.captions import Captions
from towers.student_targets import Targets
from towers.student_texts import KindWriter, Sampler, StudentTexts
from towers.text_tables import FlatFile, NumberWriter
from towers.wordpiece import WordPiece, train_vocabulary, with_special_tokens

KIND = "groups"  # captions without images, among the kinds of `distill`


class Imitation(Distillation):
    """What all tiers share, from captions and the checkpoint's vectors of them in place of the runs that `distill` reads."""

    def __init__(  # the base class reads these parts from runs of other stages
        self, run: Run[ImitateConfig], train: tuple[Captions, WholeFeatures], dev: tuple[Captions, WholeFeatures]
    ) -> None:
        (captions, features), (dev_captions, dev_features) = train, dev
        self.run = cast(
            Run[DistillConfig], run
        )  # tasks read the configuration of this object, and only the rest of the run
        self.config = distill_config(run.config, features.width)
        self.texts = texts_of(captions, run)
        self.targets = Targets(run.output, [features], unit_vectors, features.width)
        self.dev_targets = Targets(run.output, [dev_features], unit_vectors, features.width)
        file = run.output / "vocabulary.txt"
        if not file.exists():
            train_vocabulary(
                captions.texts, self.config["vocabulary_size"], self.config["alphabet"],
                spells=self.config["fallback"] == "bytes",
            ).write(file)  # fmt: skip
        self.wordpiece = WordPiece.read(file)
        self.sampler = Sampler(self.texts, self.wordpiece, self.config, run.seed, run.output)
        self.dev_tokens = self.wordpiece.tokens(dev_captions.texts)
        self.dev_ids = [with_special_tokens(ids, self.config["context_length"]) for ids in self.dev_tokens]
        self.images_ME = None
        tiers = [tier["schedule"]["steps"] for tier in self.config["tiers"]]
        self.total = self.config["static"]["schedule"]["steps"] + sum(tiers)


def distill_config(config: ImitateConfig, width: int) -> DistillConfig:
    """The students' settings in the words of `distill`: vectors of a checkpoint do not work when they are cut."""
    mix = dict.fromkeys(DistillConfigMix.__annotations__, 0.0) | {KIND: 1.0}
    own: dict[str, Any] = {**config["student"], "stage": "distill", "matryoshka_dims": [width], "image_weight": 0}
    return cast(DistillConfig, own | {"mix": mix})


def texts_of(captions: Captions, run: Run[Any]) -> StudentTexts:
    """The captions as one kind of texts, each with its own target."""
    kind = KindWriter(run.output)
    for number, text in enumerate(captions.texts):
        kind.add(text, number)
    no_means, no_groups = NumberWriter(run.output).table(), FlatFile(run.output, np.int64).mapped()
    return StudentTexts({KIND: kind.kind()}, [KIND], no_means, {}, no_groups)


def unit_vectors(features_BE: torch.Tensor) -> torch.Tensor:
    """The targets are what was stored."""
    return F.normalize(features_BE, dim=-1)
