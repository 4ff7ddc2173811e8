"""How pictures are prepared, in the words of transformers."""

from pathlib import Path

from contracts.types import PreprocessRecipe
from exchange.outgoing.tokenizer_files import write_json
from exchange.refusal import CannotExpress
from towers.preprocess import FILTERS


def write_preprocessor(folder: Path, recipe: PreprocessRecipe) -> None:
    """preprocessor_config.json of transformers' CLIPImageProcessor.

    Its libraries resize to within a level or two of 255 of what the server computes, which is Pillow's arithmetic.
    """
    size, mode = recipe["size"], recipe["resize_mode"]
    if mode == "longest":
        raise CannotExpress(
            "this model fits the longer side of an image and pads, which CLIPImageProcessor has no words for: prepare pixels as "
            "manifest.json says under image.preprocess"
        )
    square = {"height": size, "width": size}
    document = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": square if mode == "squash" else {"shortest_edge": size},
        "resample": int(FILTERS[recipe["interpolation"]]),
        "do_center_crop": mode == "shortest",
        "crop_size": square,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(recipe["mean"]),
        "image_std": list(recipe["std"]),
    }
    write_json(folder / "preprocessor_config.json", document)
