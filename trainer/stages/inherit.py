"""Stage `inherit` (ProCLIP's first stage): the adapter learns the image tower's own space from text alone.

An ImageNet backbone has no text tower, but its classifier holds one vector a class: the adapter over the LLM features of
a class's prompts is regressed onto that vector. Both live in the joint space through a fixed map, the principal axes of
the frozen tower's features, which is also where the image head starts.
"""

import json

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from towers.data import read_images, read_pairs, read_rows
from towers.losses import inherit_loss
from towers.optim import adamw, clip_gradients, groups_of, set_rate
from towers.preprocess import preprocess
from towers.run import Run
from towers.two_towers import Adapter
from towers.vision import ImageTower, create_backbone, pca_head, preprocess_recipe


def main() -> None:
    run = Run.start("inherit")
    config, schedule = run.config, run.config["schedule"]
    if config["target"] != "classifier_rows":
        raise NotImplementedError(
            "target 'clip_text' needs a tower with a text encoder of its own; use classifier_rows"
        )

    # ---- the joint space: principal axes of the frozen features --------------------------------------------------------
    backbone = create_backbone(config["backbone"]["name"])
    recipe = preprocess_recipe(backbone, config["backbone"]["size"])
    pooled_NF = frozen_features(run, backbone, recipe)
    weight_EF, bias_E = pca_head(F.normalize(pooled_NF, dim=-1), config["embed_dim"])

    # ---- targets: classifier rows, centred, in the joint space ----------------------------------------------------------
    embedded = run.input("embed_captions")
    prompts = read_rows(embedded / "captions.prompts.jsonl")
    features_ND = load_file(embedded / "features.prompts.safetensors")["features"].float()
    rows_CF = backbone.get_classifier().weight.detach()
    centred_CF = rows_CF - rows_CF.mean(0)
    targets_CE = F.normalize(centred_CF @ weight_EF.T, dim=-1)
    class_of_N = torch.tensor([int(row["id"]) for row in prompts])
    if len(prompts) == 0 or int(class_of_N.max()) >= len(targets_CE):
        raise ValueError(
            "inherit needs prompts for the backbone's own classes: set prepare.classes and prompt_templates"
        )

    # ---- regression ------------------------------------------------------------------------------------------------------
    torch.manual_seed(run.seed)
    adapter = Adapter(features_ND.shape[1], config["embed_dim"], **config["adapter"]).to(run.device).train()
    optimizer = adamw(groups_of(adapter), schedule)
    state = run.resume()
    first = 0
    if state is not None:
        adapter.load_state_dict(state["adapter"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    loss = torch.zeros(())
    for step in range(first, schedule["steps"]):
        chosen = np.random.default_rng((run.seed, step)).permutation(len(prompts))[: config["batch_size"]]
        text_BE = adapter(features_ND[chosen].to(run.device))
        loss = inherit_loss(text_BE, targets_CE[class_of_N[chosen]].to(run.device), config["struct_weight"])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_gradients(optimizer, schedule["grad_clip"])
        set_rate(optimizer, step, schedule)
        optimizer.step()
        run.tick(
            step + 1,
            schedule["steps"],
            lambda step=step: {"step": step + 1, "adapter": adapter.state_dict(), "optimizer": optimizer.state_dict()},
            loss=loss.item(),
        )

    # ---- write -----------------------------------------------------------------------------------------------------------
    adapter.eval()
    with torch.no_grad():
        text_NE = adapter(features_ND.to(run.device)).cpu()
    nearest = (text_NE @ targets_CE.T).argmax(1)
    save_file(adapter.cpu().state_dict(), run.output / "text_tower.safetensors")
    save_file({"weight": weight_EF, "bias": bias_E}, run.output / "head.safetensors")
    shape = {
        "text_tower": "llm",
        "llm_width": features_ND.shape[1],
        "embed_dim": config["embed_dim"],
        "adapter": config["adapter"],
        "backbone": config["backbone"],
        "preprocess": recipe,
    }
    (run.output / "clip.json").write_text(json.dumps(shape, indent=2))
    metrics = {"loss.last": loss.item(), "prompt_accuracy": (nearest == class_of_N).float().mean().item()}
    run.finish(metrics, {"adapter": "text_tower.safetensors", "head": "head.safetensors", "clip": "clip.json"})


def frozen_features(run: Run, backbone: torch.nn.Module, recipe: dict) -> torch.Tensor:
    """Pooled features of at most 4,000 train images [N, F] from the backbone as it was pretrained."""
    rows = read_pairs(run.input("prepare"), "train")[:4000]
    tower = ImageTower(backbone, 1).placed(run.device, run.amp_dtype).eval()
    out, pixels = [], []
    for number, (_, data) in enumerate(read_images(run.input("prepare"), rows), 1):
        pixels.append(preprocess(data, recipe))
        if len(pixels) == 64 or number == len(rows):
            batch = torch.from_numpy(np.stack(pixels)).to(run.device, run.amp_dtype, memory_format=torch.channels_last)
            with torch.inference_mode():
                out.append(tower.pooled_above(batch, 0).float().cpu())
            pixels = []
            run.tick(number, len(rows) + 1, dict, "checkpoint-features")
    backbone.float()
    return torch.cat(out).clone()


if __name__ == "__main__":
    main()
