"""What the frozen image tower knows of named classes: rows in the space of its pooled features, and its own softmax.

An ImageNet backbone has a classifier, whose rows are the classes. A CLIP tower has a text encoder: the rows are the features
that its projection maps onto its text vectors of the classes. Shapes: B images, K classes, F features, E dimensions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from timm.data.imagenet_info import ImageNetInfo
from torch.nn import functional as F

from towers.data import Row
from towers.labels import normalised_label

FILE = "classes.safetensors"


@dataclass(frozen=True)
class ClassTargets:
    """`class_K`: numbers in the class file. `rows_KF`: unit vectors. The logits are affine in `basis_BX` (see `logits`)."""

    class_K: torch.Tensor
    rows_KF: torch.Tensor
    weight_KX: torch.Tensor
    bias_K: torch.Tensor
    head: tuple[torch.Tensor, torch.Tensor] | None

    def logits(self, features_BF: torch.Tensor) -> torch.Tensor:
        """The frozen tower's logits [B, K] of pooled features: its classifier's, or its image vectors' with text vectors."""
        x = features_BF
        if self.head is not None:
            x = F.normalize(F.linear(x, *self.head), dim=-1)
        return F.linear(x, self.weight_KX, self.bias_K)

    def pseudo_images(self, center_F: torch.Tensor, distance: float) -> torch.Tensor:
        """Features [K, F] of an image that shows nothing but its class: the row's direction at an image's usual distance."""
        return center_F + distance * self.rows_KF

    def to(self, device: torch.device) -> "ClassTargets":
        """The same on a device."""
        head = None if self.head is None else (self.head[0].to(device), self.head[1].to(device))
        return ClassTargets(
            self.class_K, self.rows_KF.to(device), self.weight_KX.to(device), self.bias_K.to(device), head
        )


def of_classifier(backbone: Any, classes: list[Row]) -> ClassTargets:
    """Targets from the classifier of an ImageNet backbone, for those classes of the class file that it knows."""
    layer = backbone.get_classifier()
    if not isinstance(layer, torch.nn.Linear) or not getattr(backbone, "num_classes", 0):
        raise ValueError(
            "this tower has no classifier: inherit.target classifier_rows needs a backbone with classes; features does not"
        )
    rows = classifier_rows(len(layer.weight), classes)
    if not rows:
        raise ValueError(
            "inherit: no class of prepare.classes is one of the backbone's: give `wnid` or the ImageNet name of the "
            "classes, or `row`, the row of a class in a classifier with classes of its own"
        )
    weight_CF, bias_C = layer.weight.detach().float(), layer.bias.detach().float()
    numbers = list(rows.values())
    centred_KF = F.normalize((weight_CF - weight_CF.mean(0))[numbers], dim=-1)
    return ClassTargets(torch.tensor(list(rows)), centred_KF, weight_CF[numbers], bias_C[numbers], None)


def classifier_rows(count: int, classes: list[Row]) -> dict[int, int]:
    """Row of the classifier by the number of a class in the class file; never by position.

    `row` says it; else ImageNet's 1,000 classes are found by `wnid`, or by a name that only one of them has.
    """
    beyond = [row for row in classes if row.get("row", 0) >= count]
    if beyond:
        raise ValueError(
            f"prepare.classes: class {beyond[0]['name']!r} has row {beyond[0]['row']}, the backbone's classifier has {count} rows"
        )
    if count != 1000:
        return {row["index"]: row["row"] for row in classes if "row" in row}
    info = ImageNetInfo("imagenet-1k")
    wnids = {str(info.index_to_label_name(number)): number for number in range(count)}
    names: dict[str, set[int]] = {}
    for number in range(count):
        for name in str(info.index_to_description(number)).split(","):
            names.setdefault(normalised_label(name), set()).add(number)
    found: dict[int, int] = {}
    for row in classes:
        named = names.get(normalised_label(row["name"]), set())
        if "row" in row:
            found[row["index"]] = row["row"]
        elif "wnid" in row:
            if row["wnid"] in wnids:
                found[row["index"]] = wnids[row["wnid"]]
        elif len(named) == 1:
            found[row["index"]] = next(iter(named))
    return found


def of_texts(
    class_K: list[int], vectors_KE: torch.Tensor, scale: float, head: tuple[torch.Tensor, torch.Tensor]
) -> ClassTargets:
    """Targets from a CLIP tower's text vectors; `head` is its projection (weight [E, F], bias [E])."""
    rows_KF = (vectors_KE - vectors_KE.mean(0)) @ torch.linalg.pinv(head[0]).T
    weight_KE = scale * vectors_KE
    return ClassTargets(
        torch.tensor(class_K), F.normalize(rows_KF, dim=-1), weight_KE, torch.zeros(len(weight_KE)), head
    )


def save_class_targets(targets: ClassTargets, folder: Path) -> str:
    """Write the targets; returns the file's name."""
    tensors = {"class": targets.class_K, "rows": targets.rows_KF, "weight": targets.weight_KX, "bias": targets.bias_K}
    if targets.head is not None:
        tensors |= {"head_weight": targets.head[0], "head_bias": targets.head[1]}
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / FILE)
    return FILE


def load_class_targets(folder: Path) -> ClassTargets | None:
    """What `save_class_targets` wrote, None where `inherit` had no classes."""
    if not (folder / FILE).exists():
        return None
    x = load_file(folder / FILE)
    head = (x["head_weight"], x["head_bias"]) if "head_weight" in x else None
    return ClassTargets(x["class"], x["rows"], x["weight"], x["bias"], head)
