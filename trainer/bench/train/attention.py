"""Attention of short texts in bfloat16 on a CPU, there and back: whole products against PyTorch's kernel."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch.nn import functional as F

from bench.rounds import Row, in_turns
from towers.attention import attention

CPU = torch.device("cpu")


class Sizes(NamedTuple):
    """Heads and their width, tokens of a batch, lengths of a text."""

    heads: int
    width: int
    batch_tokens: int
    lengths: tuple[int, ...]
    rounds: int


# A batch of the base student.
FULL = Sizes(12, 32, 3072, (16, 32, 64), 20)
QUICK = Sizes(2, 8, 32, (16,), 1)


def measure(sizes: Sizes) -> Iterator[Row]:
    """Of each length, how many times as fast whole products are."""
    generator = torch.Generator().manual_seed(0)
    for tokens in sizes.lengths:
        shape = (3, sizes.batch_tokens // tokens, sizes.heads, tokens, sizes.width)
        q, k, v = torch.randn(shape, generator=generator).bfloat16().requires_grad_()
        ways = {"products": there_and_back(attention, q, k, v), "kernel": there_and_back(kernel, q, k, v)}
        times = in_turns(ways, sizes.rounds, CPU, warm_up=2)
        yield {
            "what": f"attention, {tokens} tokens, whole products against the kernel",
            "value": times.ratio("kernel", "products"),
            "unit": "x",
            "least": 1,
            "note": f"{1e3 * times.median('products'):.0f} ms and {1e3 * times.median('kernel'):.0f} ms",
        }


def kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """PyTorch's."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def there_and_back(
    attend: Callable[..., torch.Tensor], q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
) -> Callable[[int], None]:
    """One attention with its gradients, as a way of `in_turns`."""
    return lambda _: attend(q, k, v, None).sum().backward()
