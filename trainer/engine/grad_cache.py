"""Gradient cache (Gao et al. 2021, 2101.06983): a contrastive batch larger than memory, with the exact gradient.

Every micro-batch is embedded without a graph; the loss over all embeddings gives the gradient of each embedding; every
micro-batch is then embedded again, with the same dropout, and its gradient is propagated. A loss over several ranks takes this
rank's embeddings as it takes those of one pass: nothing here knows of ranks.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from engine import generators

Batch = TypeVar("Batch")
Features = torch.Tensor | tuple[torch.Tensor, ...]


def cached_backward(
    encode: Callable[[Batch], Features],
    micro_batches: Sequence[Batch],
    loss_of: Callable[..., torch.Tensor],
    *,
    keep_graphs: bool = False,
    synchronise: Callable[[bool], None] | None = None,
) -> torch.Tensor:
    """Add the gradient of `loss_of(cat(encode(m) for m))` to the parameters of `encode`; returns the loss, detached.

    `encode` maps one micro-batch to [b, D], or to a tuple of such, for instance of both towers; `loss_of` takes as many
    tensors. One micro-batch alone, or all with `keep_graphs`, are run once, with their graph.

    `synchronise` is told before every micro-batch that is embedded with its graph whether it is the last: gradients need to
    go to other ranks only then (DDP's `require_backward_grad_sync`, FSDP's `set_requires_gradient_sync`).
    """
    synchronise = synchronise or _nobody
    if len(micro_batches) == 1 or keep_graphs:
        synchronise(True)  # noqa: FBT003 - the one argument there is
        loss = loss_of(*_joined([_as_tuple(encode(batch)) for batch in micro_batches]))
        loss.backward()
        return loss.detach()
    states, embedded = [], []
    with torch.no_grad():
        for batch in micro_batches:
            states.append(generators.state())
            embedded.append(_as_tuple(encode(batch)))
    leaves = [side_ND.detach().requires_grad_() for side_ND in _joined(embedded)]
    loss = loss_of(*leaves)
    loss.backward()
    # What the loss does not depend on has no gradient.
    gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    starts = [0] * len(leaves)
    with generators.fork():
        for number, (batch, state) in enumerate(zip(micro_batches, states, strict=True)):
            generators.restore(state)
            synchronise(number == len(micro_batches) - 1)
            features = _as_tuple(encode(batch))
            ends = [start + len(side_bD) for start, side_bD in zip(starts, features, strict=True)]
            parts = [whole[start:end] for whole, start, end in zip(gradients, starts, ends, strict=True)]
            trained = [(side, part) for side, part in zip(features, parts, strict=True) if side.requires_grad]
            torch.autograd.backward([side for side, _ in trained], [part for _, part in trained])
            starts = ends
    return loss.detach()


def _joined(parts: list[tuple[torch.Tensor, ...]]) -> list[torch.Tensor]:
    return [torch.cat(side) for side in zip(*parts, strict=True)]


def _as_tuple(features: Features) -> tuple[torch.Tensor, ...]:
    return features if isinstance(features, tuple) else (features,)


def _nobody(_is_last: bool) -> None:  # noqa: FBT001 - stands in for the caller's
    """Nobody has to be told: gradients go to other ranks elsewhere, or there are none."""
