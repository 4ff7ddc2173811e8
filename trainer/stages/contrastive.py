"""Stage `contrastive`: captions of one image move together, those of different images apart (supervised SimCSE).

Symmetric InfoNCE over two texts of every group in the batch; GradCache makes the batch independent of memory. A group is
the captions of one image, or what is known of one concept: its names, a prompt, its gloss, a hypernym, descriptions.
"""

from contracts.types import ContrastiveConfig
from engine.loop import Loop
from engine.run import Run
from tasks.contrastive import Contrastive, Sampler
from tasks.contrastive_groups import read_groups
from towers.language.lora import with_lora
from towers.language.read import language_model_in, read_language_model
from towers.language.save import save_options


def main() -> None:
    """Run the stage."""
    run = Run.start(ContrastiveConfig)
    config = run.config

    groups = read_groups(run, run.input("prepare"))

    source = config.get("language_model") or language_model_in(run.input("mntp") / "model")
    language_model = with_lora(read_language_model(source, run.amp_dtype), config["lora"])
    language_model.model.to(run.device).train()
    found = {"groups of captions": groups.captions, "concepts": groups.concepts, "dev pairs": groups.dev}
    run.log(", ".join([*(f"{len(rows)} {name}" for name, rows in found.items()), str(run.amp_dtype)]))

    sampler = Sampler(groups, config, run.seed)
    task = Contrastive(run, language_model, sampler, groups.dev)
    language_model.model = Loop(run, task, config["schedule"], config.get("parallel")).train()["language_model"]
    run.leave_to_first()

    files = language_model.save(run.output / "model", **save_options(config.get("saved_model")))
    run.finish(task.metrics(), files, task.notes)


if __name__ == "__main__":
    main()
