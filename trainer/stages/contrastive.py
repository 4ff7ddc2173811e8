"""Stage `contrastive`: captions of one image move together, those of different images apart (supervised SimCSE).

Symmetric InfoNCE over two texts of every group in the batch; GradCache makes the batch independent of memory. A group is
the captions of one image, or what is known of one concept: its names, a prompt, its gloss, a hypernym, descriptions.
"""

from contracts.types import ContrastiveConfig
from engine.loop import Loop
from engine.run import Run
from tasks.contrastive import Contrastive, Sampler, concept_groups, halves, passages_of
from towers.data import read_pairs, read_texts
from towers.language.lora import with_lora
from towers.language.read import language_model_in, read_language_model
from towers.language.save import save_options


def main() -> None:
    """Run the stage."""
    run = Run.start(ContrastiveConfig)
    config = run.config

    # ---- groups: images with captions, text-only groups, long descriptions cut in halves, concepts ------------------
    prepared = run.input("prepare")
    pairs = read_pairs(prepared, "train")
    captions = [row["captions"] for row in pairs if "label" not in row and len(row["captions"]) > 1]
    captions += [row["captions"] for row in read_texts(prepared, "groups", "train")]
    captions += [halves(row["captions"][0]) for row in read_texts(prepared, "long", "train")]
    concepts = concept_groups(read_texts(prepared, "concepts", "train"), pairs)
    documents = read_texts(prepared, "plain", "train") if config.get("document_fraction", 0) else []
    passages = [passage for row in documents for passage in passages_of(row["text"], config["max_tokens"])]
    dev = [row["captions"][:2] for row in read_pairs(prepared, "dev") if len(row["captions"]) > 1][:500]

    source = config.get("language_model") or language_model_in(run.input("mntp") / "model")
    language_model = with_lora(read_language_model(source, run.amp_dtype), config["lora"])
    language_model.model.to(run.device).train()
    run.log(f"{len(captions)} groups of captions, {len(concepts)} concepts, {len(dev)} dev pairs, {run.amp_dtype}")

    sampler = Sampler(captions, concepts, config, run.seed, passages)
    task = Contrastive(run, language_model, sampler, dev)
    loop = Loop(run, task, config["schedule"], config.get("parallel"))
    if not loop.resumes:
        task.accuracy.append(task.dev_accuracy())
        run.log(f"dev caption retrieval before training: {task.accuracy[0]:.3f}")
    language_model.model = loop.train()["language_model"]
    run.leave_to_first()

    files = language_model.save(run.output / "model", **save_options(config.get("saved_model")))
    metrics = {
        "loss.last": task.losses.mean(1),
        "dev_accuracy.first": task.accuracy[0],
        "dev_accuracy.last": task.accuracy[-1],
    }
    run.finish(metrics, files)


if __name__ == "__main__":
    main()
