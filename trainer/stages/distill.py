"""Stage `distill`: distils the text teacher into a token table and into small encoders for the edge.

The target of an English text is the adapter's vector of its language-model features; the target of a translation is that of
its English sentence or name, so that students learn languages for which the teacher saw no images. The static table is
trained first: the vectors of a transformer may be sums with those of the table.
"""

import torch

from contracts.types import DistillConfig, StudentTier
from engine import generators
from engine.loop import Loop
from engine.run import Run
from tasks.distill import DistillStatic, DistillStudent
from towers.distillation import Distillation, Folders, mean_cosine
from towers.init_from_bert import init_from_package, init_from_student
from towers.student import (
    StaticStudent,
    StudentShape,
    TextStudent,
    load_static,
    load_student,
    save_static,
    save_student,
)
from towers.student_start import init_projection, init_static_table
from towers.wordpiece import WordPiece, with_special_tokens

HEAD_TEXTS = 4096  # the projection is initialised by ridge regression over this many texts
EVALUATE_TEXTS = 500  # dev captions for the progress lines; the report uses all
DONE = "checkpoint-tiers"  # which tiers are written, and the figures of their training


def main() -> None:
    """Run the stage."""
    run = Run.start(DistillConfig)
    config = run.config
    folders = Folders(run.input("prepare"), run.input("embed_captions"), run.input("clip"))
    shared = Distillation(run, folders)
    done = run.resume(DONE) or {}

    # ---- the static table, from what the first transformer makes of every piece before it is trained ------------------
    steps = config["static"]["schedule"]["steps"]
    if "static" not in done:
        done["static"] = train_static(shared)
        run.save(done, DONE)
    run.world.wait()
    static = load_static(run.output).to(run.device)

    # ---- the transformers, one after the other -------------------------------------------------------------------------
    for tier in config["tiers"]:
        if tier["tier"] not in done:
            done[tier["tier"]] = train_transformer(shared, tier, static, before=steps)
            run.save(done, DONE)
        run.world.wait()
        steps += tier["schedule"]["steps"]
    run.leave_to_first()

    # ---- metrics -------------------------------------------------------------------------------------------------------
    metrics: dict[str, float] = {"vocabulary": len(shared.wordpiece.pieces), "alphabet": alphabet_of(shared.wordpiece)}
    files = ["vocabulary.txt", "static.safetensors"]
    with torch.no_grad():
        embedded = {"static": static(shared.dev_tokens).cpu()}
    for tier in config["tiers"]:
        name = tier["tier"]
        student, _ = load_student(run.output, name)
        embedded[name] = student.embed(shared.dev_ids)
        metrics |= {f"{name}.loss.last": done[name]["loss"], f"{name}.dev_cosine.first": done[name]["cosine"]}
        files += [f"{name}.safetensors", f"{name}.json"]
    for name, embedded_NE in embedded.items():
        for dim in config["matryoshka_dims"]:
            metrics[f"{name}.dev_cosine@{dim}"] = mean_cosine(embedded_NE[:, :dim], shared.dev_targets_NE[:, :dim])
    run.finish(metrics, {name: name for name in files})


def train_static(shared: Distillation) -> dict[str, float]:
    """Train the token table and write it; the last loss."""
    run, config = shared.run, shared.config
    task = DistillStatic(shared, shared.dev_tokens[:EVALUATE_TEXTS])
    loop = Loop(run, task, config["static"]["schedule"], name="checkpoint-static", total=shared.total)
    width = config["static"]["width"]
    if loop.resumes:
        pieces, full = len(shared.wordpiece.pieces), shared.texts.targets_NE.shape[1]
        static = StaticStudent.zeros(pieces, min(width, full), full)
    else:
        first = initial_student(shared, config["tiers"][0], None)
        static = StaticStudent.of_width(init_static_table(first, shared.sampler.tokens), width)
    task.start(static.to(run.device))
    loop.train()
    if run.world.leads_machine:
        save_static(run.output, static)
    return {"loss": task.last}


def train_transformer(
    shared: Distillation, tier: StudentTier, static: StaticStudent, *, before: int
) -> dict[str, float]:
    """Train one transformer and write it; the last loss, and the dev cosine before training."""
    run, name = shared.run, tier["tier"]
    task = DistillStudent(shared, name, shared.dev_ids[:EVALUATE_TEXTS])
    loop = Loop(run, task, tier["schedule"], name=f"checkpoint-{name}", before=before, total=shared.total)
    student = initial_student(shared, tier, static, load_weights=not loop.resumes)
    task.start(student.to(run.device), tier["schedule"]["steps"])
    if not loop.resumes:
        run.log(f"{name}: dev cosine to the teacher before training: {task.first:.3f}")
    loop.train()
    student.fake_quantize(enabled=False)
    if run.world.leads_machine:
        save_student(run.output, student.eval(), shared.wordpiece, name)
    return {"loss": task.last, "cosine": task.first}


def initial_student(
    shared: Distillation, tier: StudentTier, static: StaticStudent | None, *, load_weights: bool = True
) -> TextStudent:
    """A tier's transformer before training, on the run's device; `static` None: without the sum."""
    run, config = shared.run, shared.config
    generators.seed_everything(run.seed)
    shape = StudentShape(
        len(shared.wordpiece.pieces), tier["layers"], tier["width"], tier["heads"], config["context_length"],
        shared.texts.targets_NE.shape[1], config["matryoshka_dims"], tier["table_width"],
        0.0 if static is None else tier["static_weight"],
    )  # fmt: skip
    student = TextStudent(shape)
    if static is not None:
        student.add_static(static)
    if not load_weights:
        return student
    weights = tier["initial_weights"]
    if weights == "student":
        init_from_student(student, load_student(run.output)[0])
    elif weights != "scratch":
        init_from_package(student, shared.wordpiece, weights)
    student.to(run.device)
    examples = shared.sampler.draw("head", HEAD_TEXTS)
    ids = [with_special_tokens(example.ids, config["context_length"]) for example in examples]
    init_projection(student, ids, shared.texts.targets_NE[[example.row for example in examples]])
    return student


def alphabet_of(wordpiece: WordPiece) -> int:
    """Characters that have a piece of their own."""
    return sum(len(piece) == 1 for piece in wordpiece.pieces)


if __name__ == "__main__":
    main()
