"""Losses over 1, 2 and 4 processes are those of one process that has the whole batch."""

import subprocess

import rank_process
import torch

from losses.ranks import Ranks
from warm import STAGE_ENV, warm_python


def test_any_number_of_processes_has_the_losses_and_gradients_of_one(tmp_path):
    command = [warm_python(), "-W", "ignore", rank_process.__file__]
    ranks = [subprocess.Popen([*command, str(rank), tmp_path], env=STAGE_ENV) for rank in range(4)]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0, 0, 0]
    alone = rank_process.results(Ranks(), even=True)
    # Every loss moves something, so that equal gradients mean something.
    assert all(max(gradient.abs().max() for gradient in values[1:]) > 1e-3 for values in alone.values())
    torch.testing.assert_close(alone["cached"], alone["info_nce"][:-1], atol=1e-6, rtol=0)
    for rank in range(4):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert sorted(found) == ["1", "1, uneven", "2", "2, uneven", "4", "4, averaged", "4, uneven"]
        for size, losses in found.items():
            for name, values in losses.items():
                torch.testing.assert_close(
                    values, alone[name], atol=1e-6, rtol=1e-6, msg=lambda text, at=(size, rank, name): f"{at}: {text}"
                )
