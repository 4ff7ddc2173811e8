"""What a tower makes of every place of a picture: its pooled features as if the whole picture were as it is there.

The head that turns pooled features into vectors then reads those of a place, or of a mean of places. Shapes: B pictures, T
tokens, C channels, F pooled features, H x W places.
"""

import math

import torch

from towers.image.layouts import Chain, Layout, OpenClipTransformers, VisionTransformers


def has_grid(layout: Layout | None) -> bool:
    """Whether it is known what a tower makes of places."""
    return isinstance(layout, Chain | VisionTransformers | OpenClipTransformers)


def grid_of(layout: Layout, x: torch.Tensor) -> torch.Tensor:
    """Features of all places [B, F, H, W] from the output of the last block."""
    if isinstance(layout, Chain):
        return grid_of_map(layout, x)
    if isinstance(layout, VisionTransformers):
        return grid_of_tokens(layout, x, int(layout.trunk.num_prefix_tokens))
    if isinstance(layout, OpenClipTransformers):
        return grid_of_tokens(layout, x, 1)  # the class token
    raise ValueError(
        f"clip.regions: what {type(layout.trunk).__name__} makes of a part of a picture is not known: leave the setting out"
    )


def grid_of_map(layout: Chain, x: torch.Tensor) -> torch.Tensor:
    """Of a convolutional network: every place of the map that it pools is pooled by itself."""
    x = layout.last_map(x)
    places = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1], 1, 1)
    pooled = layout.trunk.forward_head(places, pre_logits=True)
    pooled = pooled if layout.after is None else layout.after(pooled)
    return pooled.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)


def grid_of_tokens(layout: Layout, x_BTC: torch.Tensor, prefix: int) -> torch.Tensor:
    """Of a transformer with `prefix` tokens before its patches: each patch is pooled as if every token were it.

    So it does not matter whether the class token, a mean of patches or attention to them is what pools.
    """
    patches_BTC = x_BTC[:, prefix:]
    pictures, count, width = patches_BTC.shape
    alone = patches_BTC.reshape(pictures * count, 1, width).expand(-1, prefix + 1, -1)
    side = math.isqrt(count)
    return layout.pooled(alone).view(pictures, side, side, -1).permute(0, 3, 1, 2)
