"""Tries rules of the pretended GPU, as JSON on standard output: `python pretended_rules.py`."""

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from pretended_gpu import pretended_gpu

GPU = torch.device("cuda", 0)


def refused(compute: Callable[[], Any]) -> str:
    """What an operation is refused with; empty where it is not."""
    try:
        compute()
    except (RuntimeError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def gradients(device: torch.device) -> list[torch.Tensor]:
    """Of a small network."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten(), nn.Linear(64, 5)).to(device)
    x = torch.randn(7, 3, 6, 6, generator=torch.Generator().manual_seed(1)).to(device)
    F.cross_entropy(net(x), torch.arange(7, device=device) % 5).backward()
    return [parameter.grad.cpu() for parameter in net.parameters() if parameter.grad is not None]


def after_dropout(device: torch.device) -> float:
    """The CPU's next random number after something was dropped on a device."""
    torch.manual_seed(0)
    F.dropout(torch.ones(100, device=device), 0.5)
    return torch.rand(()).item()


def weights_after(steps: int, device: torch.device) -> torch.Tensor:
    """Of the optimiser that a GPU has."""
    net = nn.Linear(3, 2)
    with torch.no_grad():
        net.weight.copy_(torch.arange(6.0).view(2, 3))
    net.to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, fused=True)
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.ones(1, 3, device=device)).sum().backward()
        optimizer.step()
    return net.weight.detach().cpu()


def main() -> None:
    """Everything."""
    cpu = torch.device("cpu")
    torch.manual_seed(0)
    untouched = torch.rand(()).item()
    with pretended_gpu():
        expected = gradients(cpu)
        here, there = torch.ones(2, 2), torch.ones(2, 2, device=GPU)
        view = there.clone()
        view[1:].add_(1)
        with torch.autocast("cuda", torch.bfloat16):
            product = here.to(GPU) @ there
            loss = F.cross_entropy(product, torch.tensor([0, 1], device=GPU))
        with torch.autocast("cuda", enabled=False):
            exact = there @ there
        found = {
            "refused": {
                "product": refused(lambda: here @ there),
                "lerp": refused(lambda: torch.ones(2, 2).lerp_(there, 0.5)),
                "cat": refused(lambda: torch.cat([here, there])),
                "numpy": refused(lambda: there.numpy()),
                "index on the GPU into the CPU": refused(lambda: here[torch.tensor([0], device=GPU)]),
                "embedding": refused(lambda: F.embedding(torch.tensor([0, 1]), there)),
                "generator of the CPU": refused(lambda: there.clone().normal_(generator=torch.Generator())),
            },
            "allowed": {
                "a number of the CPU": refused(lambda: there * torch.tensor(2.0)),
                "index on the CPU into the GPU": refused(lambda: there[torch.tensor([0])]),
                "copy": refused(lambda: there.clone().copy_(here)),
                "to the CPU": refused(lambda: there.cpu().numpy()),
            },
            "same gradients": all(map(torch.equal, gradients(GPU), expected)) and len(expected) == 6,
            "same optimiser": torch.equal(weights_after(3, GPU), weights_after(3, cpu)),
            "view": view.tolist(),
            "dropout on the GPU leaves the CPU's numbers": after_dropout(GPU) == untouched != after_dropout(cpu),
            "autocast": [str(x.dtype) for x in (product, loss, exact)],
            "device": [str(there.device), there.is_cuda, str(torch.tensor([1], device=GPU).device)],
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
