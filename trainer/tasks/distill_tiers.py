"""The tiers of a distillation one after the other: the static table first, since transformers' vectors may be sums with its own."""

import torch

from contracts.types import StudentTier
from engine import generators
from engine.loop import Loop
from tasks.distill import DistillStatic, DistillStudent
from towers.distillation import Distillation, mean_cosine
from towers.student.examples import projection_texts
from towers.student.files import load_static, load_student, save_static, save_student
from towers.student.init_from_bert import init_from_package, init_from_student
from towers.student.model import StaticStudent, StudentShape, TextStudent
from towers.student.start import fitted_projection, init_projection, init_static_table, piece_states

EVALUATE_TEXTS = 500  # dev captions for the progress lines; the report uses all


DONE = "checkpoint-tiers"  # which tiers are written, and the figures of their training


def train_tiers(shared: Distillation, *, keeps_best: bool = False) -> dict[str, dict[str, float]]:
    """Train and write every tier that an earlier attempt has not; by tier its last loss and, of transformers, the dev cosine before training.

    `keeps_best`: a transformer has the weights that were best on dev at any measurement, those before training included.
    """
    run, config = shared.run, shared.config
    done = run.resume(DONE) or {}
    steps = config["static"]["schedule"]["steps"]
    if "static" not in done:
        done["static"] = train_static(shared)
        run.save(done, DONE)
    run.world.wait()
    static = load_static(run.output).to(run.device)
    for tier in config["tiers"]:
        if tier["tier"] not in done:
            done[tier["tier"]] = train_transformer(shared, tier, static, before=steps, keeps_best=keeps_best)
            run.save(done, DONE)
        run.world.wait()
        steps += tier["schedule"]["steps"]
    run.leave_to_first()
    return done


def files_of(shared: Distillation) -> dict[str, str]:
    """What a finished run consists of."""
    names = ["vocabulary.txt", "static.safetensors"]
    for tier in shared.config["tiers"]:
        names += [f"{tier['tier']}.safetensors", f"{tier['tier']}.json"]
    return {name: name for name in names}


def train_static(shared: Distillation) -> dict[str, float]:
    """Train the token table and write it; the last loss."""
    run, config = shared.run, shared.config
    task = DistillStatic(shared, shared.dev_tokens[:EVALUATE_TEXTS])
    loop = Loop(run, task, config["static"]["schedule"], name="checkpoint-static", total=shared.total)
    width = config["static"]["width"]
    if loop.resumes:
        pieces, full = len(shared.wordpiece.pieces), shared.targets.width
        static = StaticStudent.zeros(pieces, min(width, full), full)
    else:
        static = StaticStudent.of_width(first_rows(shared), width)
    task.start(static.to(run.device))
    if not loop.resumes:
        task.look()
    loop.train()
    if run.world.leads_machine:
        save_static(run.output, static)
    return {"loss": task.last}


def first_rows(shared: Distillation) -> torch.Tensor:
    """Initial rows [V, E] of the token table: what the first transformer makes of each piece before it is trained.

    Where stage `vocabulary` asked it about the pieces and about the texts of its projection, it is not built here.
    """
    vocabulary, config = shared.vocabulary, shared.config
    ids, targets = projection_texts(shared.sampler, config)
    states_VD, states_ND = vocabulary.states_VD, vocabulary.states_of(ids)
    if states_VD is not None and states_ND is not None:
        projection = fitted_projection(states_ND, shared.targets.of(targets)).to(shared.run.device)
        return init_static_table(projection, states_VD, shared.sampler.tokens)
    if vocabulary.read is not None:
        shared.run.log("vocabulary.projection and distill draw other texts: the first transformer reads them now")
    first = initial_student(shared, config["tiers"][0], None)
    states_VD = piece_states(first) if states_VD is None else states_VD
    return init_static_table(first.projection, states_VD, shared.sampler.tokens)


def train_transformer(
    shared: Distillation, tier: StudentTier, static: StaticStudent, *, before: int, keeps_best: bool
) -> dict[str, float]:
    """Train one transformer and write it; the last loss, and the dev cosine before training."""
    run, name = shared.run, tier["tier"]
    # What is chosen by is what the report says, on all dev captions.
    dev_ids = shared.dev_ids if keeps_best else shared.dev_ids[:EVALUATE_TEXTS]
    task = DistillStudent(shared, name, dev_ids, keeps_best=keeps_best)
    loop = Loop(run, task, tier["schedule"], name=f"checkpoint-{name}", before=before, total=shared.total)
    student = initial_student(shared, tier, static, load_weights=not loop.resumes)
    task.start(student.to(run.device), tier["schedule"]["steps"])
    if not loop.resumes:
        run.log(f"{name}: dev cosine to the teacher before training: {task.look():.3f}")
    loop.train()
    student.fake_quantize(enabled=False)
    if keeps_best:
        run.log(f"{name}: dev cosine to the teacher of the weights that are kept: {task.take_best():.3f}")
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
        shared.targets.width, config["matryoshka_dims"], tier["table_width"],
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
    ids, targets = projection_texts(shared.sampler, config)
    init_projection(student, ids, shared.targets.of(targets))
    return student


@torch.no_grad()
def dev_vectors(shared: Distillation) -> dict[str, torch.Tensor]:
    """Unit vectors [N, E] of the dev captions, by tier."""
    run = shared.run
    vectors = {"static": load_static(run.output).to(run.device)(shared.dev_tokens).cpu()}
    for tier in shared.config["tiers"]:
        vectors[tier["tier"]] = load_student(run.output, tier["tier"])[0].embed(shared.dev_ids)
    return vectors


def dev_cosines(shared: Distillation) -> dict[str, float]:
    """Mean cosine of every tier's dev captions to the teacher, at every length that stands alone."""
    targets_NE = shared.dev_targets.of(range(len(shared.dev_targets)))
    return {
        f"{name}.dev_cosine@{dim}": mean_cosine(embedded_NE[:, :dim], targets_NE[:, :dim])
        for name, embedded_NE in dev_vectors(shared).items()
        for dim in shared.config["matryoshka_dims"]
    }
