"""Stage `inherit` (ProCLIP's first stage): trains the adapter towards the image tower's own space before images are trained.

What it is regressed onto is what the frozen tower knows, of texts, of classes or of pictures alone (towers/image/inherited.py).
Besides adapter and head it writes what that tower knows of the classes, for `clip` to keep (towers/class_targets.py).
"""

import json

import torch
from safetensors.torch import save_file

from contracts.types import InheritConfig
from engine.loop import Loop
from engine.run import Run
from tasks.inherit import Inherit, Regression
from towers.image.backbone import create_backbone, preprocess_recipe
from towers.image.inherited import Inputs, regression_problem
from towers.two_towers import TowersShape, new_adapter


def main() -> None:
    """Run the stage."""
    run = Run.start(InheritConfig)
    config = run.config
    backbone = create_backbone(**config["backbone"])
    recipe = preprocess_recipe(backbone, config["backbone"]["size"])
    inputs = Inputs(run.input("prepare"), run.input("embed_captions"))
    problem = regression_problem(run, inputs, backbone, recipe)
    width = problem.features_ND.shape[1]

    torch.manual_seed(run.seed)
    adapter = new_adapter(config, width).to(run.device).train()
    task = Inherit(run, adapter, Regression(problem.features_ND, problem.targets_ME, problem.target_of_N))
    Loop(run, task, config["schedule"]).train()
    run.leave_to_first()

    metrics = {"loss.last": task.last, "nearest_target_is_own": problem.nearest_is_own(adapter.eval(), run.device)}
    if problem.classes is not None:
        metrics["classes"] = len(problem.classes.class_K)
    save_file(adapter.cpu().state_dict(), run.output / "text_tower.safetensors")
    shape: TowersShape = {
        "text_tower": "llm",
        "llm_width": width,
        "embed_dim": config["embed_dim"],
        "adapter": config["adapter"],
        "backbone": config["backbone"],
        "preprocess": recipe,
    }
    (run.output / "clip.json").write_text(json.dumps(shape, indent=2))
    run.finish(metrics, {"adapter": "text_tower.safetensors", "clip": "clip.json"} | problem.save(run.output))


if __name__ == "__main__":
    main()
