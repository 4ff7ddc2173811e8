"""Stage `distill`: distils the text teacher into a small encoder for the edge and into an even faster token table.

The target of an English text is the adapter's vector of its language-model features; the target of a translation is that
of its English sentence, so that the student learns languages for which the teacher saw no images.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from contracts.types import DistillConfig
from towers.data import read_pairs, read_rows, read_texts
from towers.init_from_bert import init_from_package
from towers.optim import adamw, clip_gradients, param_groups, set_lr
from towers.run import Run
from towers.student import (
    StaticStudent,
    StudentShape,
    TextStudent,
    distill_loss,
    matryoshka,
    save_static,
    save_student,
)
from towers.token_batches import batches_by_length, padded
from towers.two_towers import load_adapter
from towers.wordpiece import WordPiece, mixed, train_vocabulary, with_special_tokens

LANGUAGES = ("de", "fr", "cs")
SETS = {  # kind of text in the recipe's mix: set of `embed_captions`
    "captions": "pairs.train",
    "groups": "groups.train",
    "long": "long.train",
    "translations": "translations.train",
    "fragments": "fragments.train",
    "prompts": "prompts",
}
VOCABULARY_CHARACTERS = 20_000_000
POOL_BATCHES = 32  # texts are drawn for this many batches at once and sorted by length: little padding
HEAD_TEXTS = 4096  # the projection is initialised by ridge regression over this many texts
QAT_FRACTION = 0.2  # of the steps, the last ones: quantisation-aware training
EVALUATE_EVERY = 100  # steps
EVALUATE_TEXTS = 500  # dev captions for the progress lines; the report uses all


def main() -> None:
    """Run the stage."""
    run = Run.start(DistillConfig)
    config, schedule = run.config, run.config["schedule"]
    prepared = run.input("prepare")

    # ---- texts by kind, each with the row of its target ------------------------------------------
    targets_NE, dev_targets_NE, kinds, dev_texts = read_targets(run)
    weights = {kind: config["mix"][kind] for kind in kinds if kinds[kind] and config["mix"][kind] > 0}
    run.log(", ".join(f"{len(kinds[kind])} {kind}" for kind in weights) + f", {run.amp_dtype}")

    # ---- vocabulary, student and its initial weights ---------------------------------------------
    file = run.output / "vocabulary.txt"
    if not file.exists():
        train_vocabulary(vocabulary_texts(prepared), config["vocabulary_size"]).write(file)
    wordpiece = WordPiece.read(file)
    tokens = {kind: wordpiece.tokens([text for text, _ in kinds[kind]]) for kind in weights}
    rows = {kind: [row for _, row in kinds[kind]] for kind in weights}
    dev_tokens = wordpiece.tokens(dev_texts)
    dev_ids = [with_special_tokens(ids, config["context_length"]) for ids in dev_tokens]
    evaluated = dev_ids[:EVALUATE_TEXTS]
    shape = StudentShape(
        len(wordpiece.pieces), config["layers"], config["width"], config["heads"], config["context_length"],
        targets_NE.shape[1], config["matryoshka_dims"],
    )  # fmt: skip
    student = TextStudent(shape)
    state = run.resume()
    if state is None:
        if config["initial_weights"] != "scratch":
            init_from_package(student, wordpiece, config["initial_weights"])
        student.to(run.device)
        chosen = [draw(random.Random(f"{run.seed}/head/{n}"), weights, rows) for n in range(HEAD_TEXTS)]
        ids = [with_special_tokens(tokens[kind][i], shape.context_length) for kind, i in chosen]
        init_projection(student, ids, targets_NE[[rows[kind][i] for kind, i in chosen]])
        state = {"step": 0, "losses": [], "static_step": 0, "static_losses": []}
        state["cosines"] = [mean_cosine(student.embed(evaluated), dev_targets_NE)]
        run.log(f"dev cosine to the teacher before training: {state['cosines'][0]:.3f}")
    else:
        student.load_state_dict(state["student"])
        student.to(run.device)

    def loss_between(embedded_BE: torch.Tensor, target_BE: torch.Tensor) -> torch.Tensor:
        return distill_loss(embedded_BE, target_BE, config["contrastive_weight"], config["temperature"])

    loss_of = matryoshka(loss_between, config["matryoshka_dims"])

    # ---- the student -----------------------------------------------------------------------------
    optimizer = adamw(param_groups(student), schedule)
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])
    losses, cosines = state["losses"], state["cosines"]

    def checkpoint() -> dict:
        return {**state, "student": student.state_dict(), "optimizer": optimizer.state_dict()}

    batches = token_batches(run.seed, weights, tokens, config["batch_tokens"], shape.context_length)
    for _ in range(state["step"]):
        next(batches)
    total = schedule["steps"] + config["static"]["schedule"]["steps"]
    student.train()
    for step in range(state["step"], schedule["steps"]):
        batch = next(batches)
        student.fake_quantize(enabled=step >= (1 - QAT_FRACTION) * schedule["steps"])
        ids_BT, mask_BT = padded(
            [with_special_tokens(tokens[kind][i], shape.context_length) for kind, i in batch], run.device
        )
        target_BE = targets_NE[[rows[kind][i] for kind, i in batch]].to(run.device)
        with torch.autocast(run.device.type, torch.bfloat16, enabled=run.amp_dtype == torch.bfloat16):
            embedded_BE = student(ids_BT, mask_BT)
        loss = loss_of(embedded_BE, target_BE)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_gradients(optimizer, schedule["grad_clip"])
        set_lr(optimizer, step, schedule)
        optimizer.step()
        losses.append(loss.item())
        state["step"] = step + 1
        if (step + 1) % EVALUATE_EVERY == 0 or step + 1 == schedule["steps"]:
            cosines.append(mean_cosine(student.embed(evaluated), dev_targets_NE))
        recent = sum(losses[-20:]) / len(losses[-20:])
        run.tick(step + 1, total, checkpoint, loss=recent, dev_cosine=cosines[-1])
    student.fake_quantize(enabled=False)
    student.eval()

    # ---- the static table: the student's vector of every piece, then trained directly ------------
    static_config, static_schedule = config["static"], config["static"]["schedule"]
    if "static" in state:
        static = StaticStudent(state["static"]["rows.weight"])
    else:
        static = StaticStudent(init_static_table(student, tokens))
    static.to(run.device)
    static_optimizer = adamw(param_groups(static), static_schedule)
    if "static_optimizer" in state:
        static_optimizer.load_state_dict(state["static_optimizer"])

    def static_checkpoint() -> dict:
        return {**checkpoint(), "static": static.state_dict(), "static_optimizer": static_optimizer.state_dict()}

    for step in range(state["static_step"], static_schedule["steps"]):
        rng = random.Random(f"{run.seed}/static/{step}")
        batch = [draw(rng, weights, rows) for _ in range(static_config["batch_size"])]
        batch = [(kind, i) for kind, i in batch if tokens[kind][i]]
        target_BE = targets_NE[[rows[kind][i] for kind, i in batch]].to(run.device)
        loss = loss_of(static([tokens[kind][i] for kind, i in batch]), target_BE)
        static_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_gradients(static_optimizer, static_schedule["grad_clip"])
        set_lr(static_optimizer, step, static_schedule)
        static_optimizer.step()
        state["static_losses"].append(loss.item())
        state["static_step"] = step + 1
        run.tick(schedule["steps"] + step + 1, total, static_checkpoint, loss=loss.item(), dev_cosine=cosines[-1])

    # ---- metrics ---------------------------------------------------------------------------------
    save_student(run.output, student, wordpiece)
    save_static(run.output, static)
    metrics = {"vocabulary": len(wordpiece.pieces), "loss.last": losses[-1], "dev_cosine.first": cosines[0]}
    with torch.no_grad():
        embedded = {"student": student.embed(dev_ids), "static": static(dev_tokens).cpu()}
    for tier, embedded_NE in embedded.items():
        for dim in config["matryoshka_dims"]:
            metrics[f"{tier}.dev_cosine@{dim}"] = mean_cosine(embedded_NE[:, :dim], dev_targets_NE[:, :dim])
    files = ["student.safetensors", "student.json", "vocabulary.txt", "static.safetensors"]
    run.finish(metrics, {name: name for name in files})


def read_targets(
    run: Run[DistillConfig],
) -> tuple[torch.Tensor, torch.Tensor, dict[str, list[tuple[str, int]]], list[str]]:
    """(train targets [N, E], dev targets, texts of each kind with the row of their target, dev texts)."""
    features, prepared = run.input("embed_captions"), run.input("prepare")
    adapter = load_adapter(run.input("clip")).to(run.device).eval()

    def targets_of(name: str) -> torch.Tensor:
        rows_ND = load_file(features / f"features.{name}.safetensors")["features"]
        with torch.no_grad():
            parts = [adapter(F.normalize(part.to(run.device).float(), dim=-1)).float() for part in rows_ND.split(2048)]
        return F.normalize(torch.cat(parts), dim=-1).cpu()

    targets: list[torch.Tensor] = []
    kinds: dict[str, list[tuple[str, int]]] = {}
    count = 0
    for kind, name in SETS.items():
        file = features / f"captions.{name}.jsonl"
        texts = read_rows(file) if file.exists() else []
        if not texts:
            continue
        kinds[kind] = [(row["text"], count + number) for number, row in enumerate(texts)]
        if kind == "translations":
            row_of = {row["id"]: count + number for number, row in enumerate(texts)}
            kinds[kind] = [(row[language], row_of[row["id"]]) for row in read_texts(prepared, kind, "train")
                           if row["id"] in row_of for language in LANGUAGES]  # fmt: skip
        targets.append(targets_of(name))
        count += len(texts)
    dev_texts = [row["text"] for row in read_rows(features / "captions.pairs.dev.jsonl")]
    return torch.cat(targets), targets_of("pairs.dev"), kinds, dev_texts


def vocabulary_texts(prepared: Path) -> Iterator[str]:
    """Train captions, descriptions, translations and documents, mixed so that every language gets enough pieces."""
    captions = [text for row in read_pairs(prepared, "train") for text in row["captions"]]
    captions += [text for row in read_texts(prepared, "groups", "train") for text in row["captions"]]
    long = [text for row in read_texts(prepared, "long", "train") for text in row["captions"]]
    translations = read_texts(prepared, "translations", "train")
    plain = [row["text"] for row in read_texts(prepared, "plain", "train")]
    sources: dict[str, tuple[Sequence[str], float]] = {
        "captions": (captions, 3.0),
        "long": (long, 1.0),
        "plain": (plain, 1.0),
    }
    sources |= {language: ([row[language] for row in translations], 1.0) for language in LANGUAGES}
    available = sum(len(text) for texts, _ in sources.values() for text in texts)
    return mixed(sources, min(VOCABULARY_CHARACTERS, available))


def draw(rng: random.Random, weights: dict[str, float], texts: dict[str, list]) -> tuple[str, int]:
    """One text: its kind by the weights of the mix, then any of that kind."""
    kind = rng.choices(list(weights), list(weights.values()))[0]
    return kind, rng.randrange(len(texts[kind]))


def mean_cosine(a_ME: torch.Tensor, b_NE: torch.Tensor) -> float:
    """Mean cosine of the rows of a with the first rows of b."""
    return float(F.cosine_similarity(a_ME, b_NE[: len(a_ME)], dim=-1).mean())


def token_batches(
    seed: int, weights: dict[str, float], tokens: dict[str, list[list[int]]], batch_tokens: int, context_length: int
) -> Iterator[list[tuple[str, int]]]:
    """Endless batches of (kind, number): texts of similar length together, batches in random order."""
    pool = 0
    while True:
        rng = random.Random(f"{seed}/pool/{pool}")
        chosen: list[tuple[str, int]] = []
        lengths: list[int] = []
        while sum(lengths) < POOL_BATCHES * batch_tokens:
            for _ in range(256):
                kind, number = draw(rng, weights, tokens)
                chosen.append((kind, number))
                lengths.append(min(len(tokens[kind][number]) + 2, context_length))
        batches = batches_by_length(lengths, batch_tokens)
        rng.shuffle(batches)
        for batch in batches:
            yield [chosen[index] for index in batch]
        pool += 1


def init_projection(student: TextStudent, ids: list[list[int]], targets_NE: torch.Tensor) -> None:
    """Set the projection to the ridge regression from pooled states to targets."""
    device = student.table.weight.device
    pooled_ND = torch.empty(len(ids), student.shape.width, dtype=torch.float64)
    with torch.no_grad():
        for batch in batches_by_length([len(row) for row in ids], 8192):
            ids_BT, mask_BT = padded([ids[i] for i in batch], device)
            pooled_ND[batch] = student.pooled(student.table(ids_BT), mask_BT).double().cpu()
        mean_D, mean_target_E = pooled_ND.mean(0), targets_NE.double().mean(0)
        x_ND, y_NE = pooled_ND - mean_D, targets_NE.double() - mean_target_E
        gram_DD = x_ND.T @ x_ND
        ridge = 1e-3 * float(gram_DD.diagonal().mean()) + 1e-9
        weight_DE = torch.linalg.solve(gram_DD + ridge * torch.eye(len(gram_DD), dtype=torch.float64), x_ND.T @ y_NE)
        student.projection.weight.copy_(weight_DE.T)
        student.projection.bias.copy_(mean_target_E - mean_D @ weight_DE)


def init_static_table(student: TextStudent, tokens: dict[str, list[list[int]]]) -> torch.Tensor:
    """Initial rows [V, E]: the student's vector of each piece, times a / (a + frequency): frequent pieces weigh less."""
    counts_V = torch.ones(student.shape.vocabulary_size)
    for rows in tokens.values():
        counts_V += torch.bincount(
            torch.tensor([i for row in rows for i in row], dtype=torch.long), minlength=len(counts_V)
        )
    rows_VE = student.embed([with_special_tokens([piece], 3) for piece in range(len(counts_V))])
    return rows_VE * (1e-3 / (1e-3 + counts_V / counts_V.sum()))[:, None]


if __name__ == "__main__":
    main()
