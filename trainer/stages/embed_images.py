"""Stage `embed_images`: runs every image once through the frozen image tower and stores activations and features.

Below the first trainable block nothing changes during training, so its output is computed once per crop; what the whole
frozen tower makes of the same crop, its pooled features, is stored beside it: from them come the reference of the
regulariser and the frozen classifier's softmax. Both depend on neither seed nor text tower: all runs of `clip` in a recipe
share them. A finished shard is never computed again. Writes the arrays of towers/image/activations.py, and `crops.json`. Where
train images are streamed there is nothing of them, and `clip` makes their crops as `crops.json` says.
"""

import json

from contracts.types import EmbedImagesConfig
from engine.folders.files import write_atomically
from engine.run import Run
from towers.crops import CropsShape
from towers.image.activations import arrays_of, assemble_all, check_weights, embed_shard, streamed_crops
from towers.image.backbone import create_backbone, preprocess_recipe
from towers.image.tower import ImageTower


def main() -> None:
    """Run the stage."""
    run = Run.start(EmbedImagesConfig)
    config = run.config
    arrays = arrays_of(run.input("prepare"), config)
    backbone = create_backbone(**config["backbone"])
    recipe = preprocess_recipe(backbone, config["backbone"]["size"])
    shape: CropsShape = {
        "backbone": config["backbone"],
        "first_trainable_block": config["first_trainable_block"],
        "crops": config["crops"],
    }
    if not arrays.is_cached:
        shape["streamed"] = streamed_crops(config)
    tower = ImageTower(backbone, 1).to_device(run.device, run.amp_dtype).eval()
    check_weights(tower)

    state = run.resume() or {"shards": 0}
    done = sum(len(shard.rows) for shard in arrays.shards[: state["shards"]])
    for number in range(state["shards"], len(arrays.shards)):
        for images in embed_shard(run, tower, recipe, arrays.shards[number]):
            done += images
            run.tick(done, arrays.total, lambda number=number: {"shards": number})
        run.save({"shards": number + 1})

    files = {"crops": "crops.json"} | assemble_all(run.output, arrays, config)
    write_atomically(run.output / "crops.json", json.dumps(shape, indent=2))
    metrics: dict[str, float] = {f"images.{name}": len(rows) for name, rows in arrays.rows.items() if name != "plain"}
    run.finish(metrics | {"crops": config["crops"]}, files)
    for file in run.output.glob("shard-*.npy"):
        file.unlink()


if __name__ == "__main__":
    main()
