"""What students learn of a published checkpoint: captions without images, and targets that need no teacher of ours.

Shapes: N texts, E joint dimensions.
"""

from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional as F

from contracts.types import DistillConfig, DistillConfigMix, ImitateConfig
from data.features import WholeFeatures
from engine.run import Run
from towers.distillation import Material
from towers.imitation.captions import Captions
from towers.student.targets import Targets
from towers.student.texts import KindWriter, StudentTexts
from towers.student.vocabulary import own_vocabulary
from towers.text_tables import FlatFile, NumberWriter

KIND = "groups"  # captions without images, among the kinds of `distill`


def material_of(
    run: Run[ImitateConfig], train: tuple[Captions, WholeFeatures], dev: tuple[Captions, WholeFeatures]
) -> Material:
    """Captions with the checkpoint's vectors of them."""
    (captions, features), (dev_captions, dev_features) = train, dev
    texts = texts_of(captions, run)
    return Material(
        texts=texts,
        targets=Targets(run.output, [features], unit_vectors, features.width),
        dev_targets=Targets(run.output, [dev_features], unit_vectors, features.width),
        dev_texts=dev_captions.texts,
        vocabulary=own_vocabulary(run, run.config["student"], texts, lambda: captions.texts),
    )


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
