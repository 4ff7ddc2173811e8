"""Stage `distill`: distils the text teacher into a token table and into small encoders for the edge.

The target of an English text is the adapter's vector of its language-model features; the target of a translation is that of
its English sentence or name, so that students learn languages for which the teacher saw no images. The static table is
trained first: the vectors of a transformer may be sums with those of the table.
"""

from typing import Any

import torch

from contracts.types import DistillConfig, StudentTier
from towers.distillation import Distillation, Folders, mean_cosine
from towers.init_from_bert import init_from_package, init_from_student
from towers.optim import adamw, descend, param_groups
from towers.run import Run, seed_everything
from towers.student import (
    StaticStudent,
    StudentShape,
    TextStudent,
    contradiction_loss,
    load_static,
    load_student,
    save_static,
    save_student,
)
from towers.student_start import init_projection, init_static_table
from towers.student_texts import Example
from towers.token_batches import padded
from towers.wordpiece import WordPiece, with_special_tokens

HEAD_TEXTS = 4096  # the projection is initialised by ridge regression over this many texts
QAT_FRACTION = 0.2  # of the steps, the last ones: quantisation-aware training
EVALUATE_EVERY = 100  # steps
EVALUATE_TEXTS = 500  # dev captions for the progress lines; the report uses all


def main() -> None:
    """Run the stage."""
    run = Run.start(DistillConfig)
    config = run.config
    folders = Folders(run.input("prepare"), run.input("embed_captions"), run.input("clip"))
    shared = Distillation(run, folders)
    state = run.resume() or {"done": [], "step": 0, "losses": {}, "cosines": {}}

    # ---- the static table, from what the first transformer makes of every piece before it is trained ------------------
    if "static" not in state["done"]:
        train_static(shared, state)
    static = load_static(run.output).to(run.device)

    # ---- the transformers, one after the other -------------------------------------------------------------------------
    for tier in config["tiers"]:
        if tier["tier"] not in state["done"]:
            train_transformer(shared, tier, static, state)

    # ---- metrics -------------------------------------------------------------------------------------------------------
    metrics: dict[str, float] = {"vocabulary": len(shared.wordpiece.pieces), "alphabet": alphabet_of(shared.wordpiece)}
    files = ["vocabulary.txt", "static.safetensors"]
    with torch.no_grad():
        embedded = {"static": static(shared.dev_tokens).cpu()}
    for tier in config["tiers"]:
        name = tier["tier"]
        student, _ = load_student(run.output, name)
        embedded[name] = student.embed(shared.dev_ids)
        metrics |= {f"{name}.loss.last": state["losses"][name], f"{name}.dev_cosine.first": state["cosines"][name]}
        files += [f"{name}.safetensors", f"{name}.json"]
    for name, embedded_NE in embedded.items():
        for dim in config["matryoshka_dims"]:
            metrics[f"{name}.dev_cosine@{dim}"] = mean_cosine(embedded_NE[:, :dim], shared.dev_targets_NE[:, :dim])
    run.finish(metrics, {name: name for name in files})


def train_static(shared: Distillation, state: dict[str, Any]) -> None:
    """Train the token table and write it."""
    run, config = shared.run, shared.config
    schedule = config["static"]["schedule"]
    if "rows" in state:
        static = StaticStudent(state["rows"], state["projection"])
    else:
        first = initial_student(shared, config["tiers"][0], None)
        rows_VE = init_static_table(first, shared.sampler.tokens)
        static = StaticStudent.of_width(rows_VE, config["static"]["width"])
        state["cosines"]["static"] = shared.dev_cosine(static(shared.dev_tokens[:EVALUATE_TEXTS]))
    static.to(run.device)
    optimizer = adamw(param_groups(static), schedule)
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])

    def checkpoint() -> dict[str, Any]:
        projection = static.projection
        weights = {
            "rows": static.rows.weight.detach(),
            "projection": None if projection is None else projection.detach(),
        }
        return {**state, **weights, "optimizer": optimizer.state_dict()}

    for step in range(state["step"], schedule["steps"]):
        examples = shared.sampler.draw(f"static/{step}", config["static"]["batch_size"])
        loss = shared.loss(static([example.ids for example in examples]), examples)
        descend(optimizer, loss, step, schedule)
        state["step"], state["losses"]["static"] = step + 1, loss.item()
        if (step + 1) % EVALUATE_EVERY == 0:
            with torch.no_grad():
                state["cosines"]["static"] = shared.dev_cosine(static(shared.dev_tokens[:EVALUATE_TEXTS]).cpu())
        run.tick(step + 1, shared.total, checkpoint, loss=loss.item(), static_dev_cosine=state["cosines"]["static"])
    save_static(run.output, static)
    finish_tier(run, state, "static")


def train_transformer(shared: Distillation, tier: StudentTier, static: StaticStudent, state: dict[str, Any]) -> None:
    """Train one transformer and write it."""
    run, config, schedule, name = shared.run, shared.config, tier["schedule"], tier["tier"]
    evaluated = shared.dev_ids[:EVALUATE_TEXTS]
    student = initial_student(shared, tier, static, load_weights="student" not in state)
    if "student" in state:
        student.load_state_dict(state["student"])
    student.to(run.device)
    cosine = shared.dev_cosine(student.embed(evaluated))
    if state["step"] == 0:
        state["cosines"][name] = cosine
        run.log(f"{name}: dev cosine to the teacher before training: {cosine:.3f}")
    optimizer = adamw(param_groups(student), schedule)
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])

    def checkpoint() -> dict[str, Any]:
        return {**state, "student": student.state_dict(), "optimizer": optimizer.state_dict()}

    batches = shared.sampler.batches(name, config["batch_tokens"], config["context_length"])
    for _ in range(state["step"]):
        next(batches)
    before = sum(shared.config["static"]["schedule"]["steps"] if done == "static" else steps_of(config, done)
                 for done in state["done"])  # fmt: skip
    student.train()
    for step in range(state["step"], schedule["steps"]):
        examples = next(batches)
        student.fake_quantize(enabled=step >= (1 - QAT_FRACTION) * schedule["steps"])
        embedded_BE = embed_batch(run, student, [example.ids for example in examples])
        loss = shared.loss(embedded_BE, examples)
        if config["negatives_weight"] > 0:
            loss = loss + config["negatives_weight"] * loss_of_contradictions(shared, student, embedded_BE, examples)
        descend(optimizer, loss, step, schedule)
        state["step"], state["losses"][name] = step + 1, loss.item()
        if (step + 1) % EVALUATE_EVERY == 0 or step + 1 == schedule["steps"]:
            cosine = shared.dev_cosine(student.embed(evaluated))
        run.tick(
            before + step + 1, shared.total, checkpoint, **{f"{name}_loss": loss.item(), f"{name}_dev_cosine": cosine}
        )
    student.fake_quantize(enabled=False)
    save_student(run.output, student.eval(), shared.wordpiece, name)
    finish_tier(run, state, name)


def finish_tier(run: Run[DistillConfig], state: dict[str, Any], name: str) -> None:
    """Note that a tier is written; the next one begins at step 0."""
    for key in ("rows", "projection", "student", "optimizer"):
        state.pop(key, None)
    state["done"].append(name)
    state["step"] = 0
    run.save(state)


def initial_student(
    shared: Distillation, tier: StudentTier, static: StaticStudent | None, *, load_weights: bool = True
) -> TextStudent:
    """A tier's transformer before training, on the run's device; `static` None: without the sum."""
    run, config = shared.run, shared.config
    seed_everything(run.seed)
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


def embed_batch(run: Run[DistillConfig], student: TextStudent, ids: list[list[int]]) -> torch.Tensor:
    """Unit vectors [B, E] of ids without special tokens, with gradients."""
    ids_BT, mask_BT = padded([with_special_tokens(row, student.shape.context_length) for row in ids], run.device)
    with torch.autocast(run.device.type, torch.bfloat16, enabled=run.amp_dtype == torch.bfloat16):
        return student(ids_BT, mask_BT)


def loss_of_contradictions(
    shared: Distillation, student: TextStudent, embedded_BE: torch.Tensor, examples: list[Example]
) -> torch.Tensor:
    """How little nearer to their targets captions are than what contradicts them."""
    numbers = [number for number, example in enumerate(examples) if example.contradiction]
    if not numbers:
        return embedded_BE.sum() * 0
    others_BE = embed_batch(shared.run, student, [examples[number].contradiction or [] for number in numbers])
    target_BE = shared.texts.targets_NE[[examples[number].row for number in numbers]].to(others_BE.device)
    return contradiction_loss(embedded_BE[numbers], others_BE, target_BE)


def steps_of(config: DistillConfig, name: str) -> int:
    """Steps of a transformer."""
    return next(tier["schedule"]["steps"] for tier in config["tiers"] if tier["tier"] == name)


def alphabet_of(wordpiece: WordPiece) -> int:
    """Characters that have a piece of their own."""
    return sum(len(piece) == 1 for piece in wordpiece.pieces)


if __name__ == "__main__":
    main()
