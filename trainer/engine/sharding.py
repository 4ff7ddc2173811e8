"""How a task's blocks lie on the ranks: copied to each or split between them, their activations kept or computed again.

What is compiled is a block's own forward pass, and a checkpoint goes around it: `torch.utils.checkpoint` keeps torch.compile
out of what it calls, so that compiling a block from outside of its checkpoint finds nothing to compile. Sharding comes last.
Split blocks are FSDP2's (https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html): a rank holds its part of
every matrix and of the optimiser's state of it, and gathers a block when it is its turn. What is not in a block stays on
every rank.
"""

import copy
import functools
import itertools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard, cast

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from contracts.types import Parallel
from engine.world import World

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


NARROWED = ("cuda",)  # devices on which split blocks of float32 compute in bfloat16


class Blocks(NamedTuple):
    """The parts of a model that repeat, such as its layers, and the module that runs them in this order, by which methods."""

    root: nn.Module
    parts: list[nn.Module]
    methods: tuple[str, ...] = ("forward",)


def place(blocks: Blocks | None, parallel: Parallel, world: World) -> None:
    """Change blocks in place as the recipe says; all ranks call it alike."""
    if blocks is None:
        if not (parallel["activation_checkpointing"] or parallel["compile"] or parallel["weights"] == "sharded"):
            return
        raise ValueError("parallel: of what is trained here no blocks are known: leave the setting out")
    for block in blocks.parts:
        if parallel["compile"]:
            block.forward = torch.compile(block.forward)
        if parallel["activation_checkpointing"]:
            block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
    if parallel["weights"] == "sharded" and world.size > 1:
        shard(blocks, world)


def shard(blocks: Blocks, world: World) -> None:
    """Split the blocks between the ranks."""
    # A second of imports, for what few runs do.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(world.device.type, (world.size,))
    sharded: list[FSDPModule] = []
    for block in blocks.parts:
        parameters = list(block.parameters())
        # Low-rank layers in float32 over a frozen model in bfloat16: the few numbers that train stay on every rank.
        mixed = len({parameter.dtype for parameter in parameters}) > 1
        ignored = {parameter for parameter in parameters if parameter.requires_grad} if mixed else set()
        dtypes = {parameter.dtype for parameter in parameters if parameter not in ignored}
        narrow = torch.bfloat16 if world.device.type in NARROWED and dtypes == {torch.float32} else None
        # Between blocks numbers stay narrow. What follows the last one has weights in float32, and is asked without autocast, too.
        is_last = block is blocks.parts[-1]
        policy = MixedPrecisionPolicy(
            param_dtype=narrow,
            reduce_dtype=torch.float32 if narrow else None,
            output_dtype=torch.float32 if narrow and is_last else None,
        )
        module = fully_shard(block, mesh=mesh, mp_policy=policy, ignored_params=ignored)
        # A rank's loss is its part of that of the whole batch: gradients are added up, not averaged.
        module.set_gradient_divide_factor(1.0)
        # Sums alone: gloo knows no other reduction with a factor.
        module.set_force_sum_reduction_for_comms(True)
        sharded.append(module)
    # The root has nothing of its own to split: it makes the blocks know each other, so that the next one comes in time.
    split = {parameter for block in blocks.parts for parameter in block.parameters()}
    fully_shard(blocks.root, mesh=mesh, ignored_params={p for p in blocks.root.parameters() if p not in split})
    for method in blocks.methods:
        if method != "forward":
            register_fsdp_forward_method(blocks.root, method)
    for module, following in itertools.pairwise(sharded):
        module.set_modules_to_forward_prefetch([following])


def copy_on_cpu(modules: nn.ModuleDict) -> nn.ModuleDict:
    """A copy whose weights are on the CPU and were never twice on the GPU, for which a model may be too large."""
    found = itertools.chain(modules.parameters(), modules.buffers())
    copied: dict[int, torch.Tensor] = {}
    for tensor in found:
        twin = tensor.detach().to("cpu", copy=True)
        copied[id(tensor)] = nn.Parameter(twin, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else twin
    return copy.deepcopy(modules, cast(Any, copied))


def take_whole(modules: nn.ModuleDict, into: nn.ModuleDict, world: World) -> None:
    """Put every parameter and buffer of modules together, one after the other; on rank 0 into another one of the same, on the CPU."""
    own = into.state_dict()
    for name, value in modules.state_dict().items():
        tensor = whole(value)
        if world.leads:
            own[name].copy_(tensor)


def whole(value: torch.Tensor) -> torch.Tensor:
    """A tensor as it is, or put together from the parts of all ranks, which call it alike."""
    return value.full_tensor() if is_split(value) else value


def is_split(value: torch.Tensor) -> "TypeGuard[DTensor]":
    """Whether a tensor is a rank's part of one. Where nothing is split, the type of parts, a second of imports, is not loaded."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(value, module.DTensor)


def norm_of(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """The norm of all of them together, split ones and whole ones."""
    parts = [[g for g in gradients if is_split(g)], [g for g in gradients if not is_split(g)]]
    norms = [nn.utils.get_total_norm(part) for part in parts if part]
    of_all = [whole(norm) for norm in norms]
    return of_all[0] if len(of_all) == 1 else torch.stack(of_all).norm()


# ---- micro-batches: split blocks are gathered for each of them, so every rank has as many ----------------------------


def shares_of(batch: int, world: World) -> tuple[int, int]:
    """The smallest and the largest share that a rank has of a batch; one too small for the ranks is refused."""
    if batch < world.size:
        raise ValueError(f"batch_size: a batch of {batch} leaves some of {world.size} ranks without a text; raise it")
    return batch // world.size, -(-batch // world.size)


def equal_parts(items: list, size: int, of_ranks: tuple[int, int]) -> list[list]:
    """Consecutive slices of `size` items, or a little less, as many on every rank; ranks have from .. to `of_ranks` items.

    Where blocks are split between ranks, each micro-batch gathers them: a rank that had one less would be waited for without
    end. With `size` 1 a rank that has more items than another takes two at a time.
    """
    slices = slices_of(items, size)
    least, most = of_ranks
    count = min(-(-most // size), least)
    if len(slices) == count:
        return slices
    edges = [len(items) * number // count for number in range(count + 1)]
    return [items[start:end] for start, end in itertools.pairwise(edges)]


def slices_of(items: list, size: int) -> list[list]:
    """Consecutive slices of at most `size` items."""
    return [items[start : start + size] for start in range(0, len(items), size)]
