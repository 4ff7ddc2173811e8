"""The one loop: equal to a plain one, the same after an interruption, and stopped by what is no number."""

import math
from typing import Any

import pytest
import torch
from small_training import SCHEDULE, Small, run_in, train
from torch.nn import functional as F

from engine.loop import Loop, NotFiniteError
from engine.optim import adamw


def weights(task: Small) -> list[torch.Tensor]:
    return [value.detach() for module in task.modules.values() for value in module.parameters()]


@pytest.mark.parametrize("own", [{}, {"betas": [0.8, 0.95], "epsilon": 0.01}])
def test_is_a_plain_loop_of_adamw_with_clipping_schedule_and_average(tmp_path, own):
    ours = train(tmp_path / "ours", {}, schedule=SCHEDULE | own)
    plain = Small(run_in(tmp_path / "plain"), {})
    net, log = plain.modules["net"], plain.modules["scale"].get_parameter("log")
    matrices = [p for p in net.parameters() if p.ndim > 1]
    vectors = [*(p for p in net.parameters() if p.ndim <= 1), log]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    betas, eps = ((0.8, 0.95), 0.01) if own else ((0.9, 0.98), 1e-6)
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=betas, eps=eps)
    average = [p.detach().clone() for p in (*net.parameters(), log)]
    for step in range(8):
        a, b = (F.normalize(net(view), dim=-1) for view in plain.batch(step))
        loss = F.cross_entropy(log.exp() * a @ b.T, torch.arange(12))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*matrices, *vectors], 1.0)
        factor = (step + 1) / 2 if step < 2 else 0.5 * (1 + math.cos(math.pi * (step - 2) / 6))
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * factor
        optimizer.step()
        for mean, value in zip(average, (*net.parameters(), log), strict=True):
            mean.lerp_(value.detach(), 1 - min(0.9, (1 + step) / (10 + step)))
        assert ours.losses[step] == pytest.approx(loss.item(), abs=1e-7)
    learned = [*ours.modules["net"].parameters(), ours.modules["scale"].get_parameter("log")]
    for mine, theirs in zip(learned, average, strict=True):
        torch.testing.assert_close(mine.detach(), theirs, rtol=0, atol=1e-7)


@pytest.mark.parametrize("fused", [None, True])
def test_on_a_cpu_a_schedule_decides_whether_adamw_goes_over_the_weights_once(fused):
    torch.manual_seed(0)
    first, gradients = torch.randn(20_003), torch.randn(4, 20_003)
    ours, plain = (torch.nn.Parameter(first.clone()) for _ in range(2))
    own: Any = {} if fused is None else {"fused": fused}
    optimizer = adamw([{"params": [ours]}], SCHEDULE | own)
    expected = torch.optim.AdamW([plain], lr=1e-2, weight_decay=0.1, betas=(0.9, 0.98), eps=1e-6, fused=fused)
    for gradient in gradients:
        for parameter, each in ((ours, optimizer), (plain, expected)):
            parameter.grad = gradient.clone()
            each.step()
    # Which kernel it was shows in last bits on some processors only.
    assert optimizer.param_groups[0]["fused"] is fused and torch.equal(ours, plain)


@pytest.mark.parametrize(("stops", "own"), [((1,), {}), ((3, 6), {}), ((8,), {}), ((3,), {"fused": True})])
def test_goes_on_bit_for_bit_with_dropout_and_parameters_that_join_later(tmp_path, stops, own):
    schedule = SCHEDULE | own
    straight = train(tmp_path / "straight", {"late": 4}, dropout=0.5, schedule=schedule)
    for stop in stops:
        with pytest.raises(SystemExit) as interrupted:
            train(tmp_path / "stopped", {"late": 4, "stop": stop}, dropout=0.5, schedule=schedule)
        assert interrupted.value.code == 75
    resumed = train(tmp_path / "stopped", {"late": 4}, dropout=0.5, schedule=schedule)
    assert resumed.losses == straight.losses
    assert all(torch.equal(mine, other) for mine, other in zip(weights(resumed), weights(straight), strict=True))


def test_a_gradient_that_is_no_number_ends_it_and_the_checkpoint_stays_good(tmp_path):
    with pytest.raises(SystemExit):
        train(tmp_path, {"stop": 3})
    with pytest.raises(NotFiniteError, match=r"step 6 is nan: the checkpoint of step 3 is whole.*schedule\.lr"):
        train(tmp_path, {"nan": 5})
    assert train(tmp_path, {}).losses == train(tmp_path / "straight", {}).losses


def test_figures_are_computed_only_for_lines_that_are_printed(tmp_path, capsys):
    asked = []

    class Counted(Small):
        def measure(self, step, parts):
            return {"loss": lambda: asked.append(step) or 1.0}

    run = run_in(tmp_path)
    run.progress_seconds = 3600.0
    Loop(run, Counted(run, {}), SCHEDULE).train()
    assert asked == [0, 7]
    assert len(capsys.readouterr().out.splitlines()) == 2
