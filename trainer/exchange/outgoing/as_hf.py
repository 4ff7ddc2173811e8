"""transformers' layout: BertModel folders for the text tiers, a timm wrapper for the image tower where its weights are known.

Shapes: D width, E joint dimensions, S side in pixels.
"""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from contracts.types import Tier
from exchange.names import read_names
from exchange.outgoing.bert import write_bert
from exchange.outgoing.floats import FloatModel
from exchange.outgoing.imports.vision_towers import write_image as write_published
from exchange.outgoing.preprocessor import write_preprocessor
from exchange.outgoing.tokenizer_files import write_tokenizer
from exchange.refusal import CannotExpress
from towers.image.backbone import PACKAGES
from towers.image.input_size import built_size


def write(model: FloatModel, out: Path, tiers: list[Tier]) -> list[str]:
    """Write text tiers, and the image tower of a run of `clip` or of an import; returns the folders that a user opens.

    No tiers: the image tower alone.
    """
    transformers: list[Tier] = [tier for tier in tiers if tier != "static"]
    if tiers and not transformers:
        raise CannotExpress(
            "transformers has no architecture for the static tier: --format sentence-transformers has one"
        )
    for tier in transformers:
        student = model.students[tier]
        (out / tier).mkdir(parents=True)
        write_bert(out / tier, student, tier)
        write_tokenizer(out / tier, model.wordpiece, model.context_length)
        weights = {name: value.detach().clone() for name, value in student.projection.state_dict().items()}
        save_file(weights, out / tier / "projection.safetensors")
    try:
        if model.image_tower is None:
            write_published(model, read_names(model.folder, model.manifest), out / "image")
        else:
            write_image(model, out / "image")
    except CannotExpress as error:
        if not tiers:
            raise CannotExpress(f"the image tower of {model.manifest['name']} cannot be written: {error}") from error
        return list(transformers)  # README.md says why it is not there
    return [*transformers, "image"]


def write_image(model: FloatModel, folder: Path) -> None:
    """`AutoModelForImageClassification` whose logits are the vectors before they are brought to unit length."""
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    tower, name = model.image_tower, model.backbone
    assert tower is not None and name is not None
    if ":" in name and name not in PACKAGES:
        raise CannotExpress(
            f"the image tower {name} is none of timm's models, which is what transformers wraps: --format onnx writes both towers"
        )
    options: dict[str, Any] = {"num_labels": model.manifest["embed_dim"], "model_args": timm_options(tower)}
    config: Any = TimmWrapperConfig(architecture=PACKAGES.get(name, name), **options)
    wrapped: Any = TimmWrapperForImageClassification(config)
    state = dict(tower.backbone.state_dict())
    head = wrapped.timm_model.get_classifier()
    if not isinstance(head, nn.Linear) or head.in_features != tower.head.in_features:
        raise CannotExpress(
            f"timm's {config.architecture} has no linear classifier over the features that the tower pools"
        )
    place = next(path for path, module in wrapped.timm_model.named_modules() if module is head)
    own = {f"{place}.weight": tower.head.weight, f"{place}.bias": tower.head.bias}
    wrapped.timm_model.load_state_dict({k: v for k, v in state.items() if k not in own} | own)
    folder.mkdir(parents=True)
    wrapped.save_pretrained(folder)
    write_preprocessor(folder, model.manifest["image"]["preprocess"])


def timm_options(tower: Any) -> dict[str, Any] | None:
    """What timm.create_model needs beside the name: the size, where the tower was built for one."""
    size = built_size(tower.backbone)
    return None if size is None else {"img_size": size}
