"""Gradient cache (Gao et al. 2021, 2101.06983): a contrastive batch larger than memory, with the exact gradient.

Every micro-batch is embedded without a graph; the loss over all embeddings gives the gradient of each embedding; every
micro-batch is then embedded again, with the same dropout, and its gradient is propagated.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

Batch = TypeVar("Batch")


def cached_backward(
    encode: Callable[[Batch], torch.Tensor],
    micro_batches: Sequence[Batch],
    loss_of: Callable[[torch.Tensor], torch.Tensor],
    *,
    keep_graphs: bool = False,
) -> torch.Tensor:
    """Add the gradient of `loss_of(cat(encode(m) for m))` to the parameters of `encode`; returns the loss.

    `encode` maps one micro-batch to [b, D]. One micro-batch alone, or all with `keep_graphs`, are run once, with their graph.
    """
    if len(micro_batches) == 1 or keep_graphs:
        loss = loss_of(torch.cat([encode(batch) for batch in micro_batches]))
        loss.backward()
        return loss.detach()
    states, embedded = [], []
    with torch.no_grad():
        for batch in micro_batches:
            states.append(torch.get_rng_state())
            embedded.append(encode(batch))
    after = torch.get_rng_state()
    all_ND = torch.cat(embedded).detach().requires_grad_()
    loss = loss_of(all_ND)
    loss.backward()
    assert all_ND.grad is not None
    start = 0
    for batch, state in zip(micro_batches, states, strict=True):
        torch.set_rng_state(state)
        features = encode(batch)
        features.backward(all_ND.grad[start : start + len(features)])
        start += len(features)
    torch.set_rng_state(after)
    return loss.detach()
