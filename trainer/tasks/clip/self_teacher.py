"""A running mean of the image tower as its own teacher (ProCLIP's second stage, 2510.18795): it looks at the same pictures.

Shapes: B images, E joint dimensions.
"""

import copy
from typing import Any

import torch

from engine.sharding import whole
from towers.image.tower import ImageTower


class SelfTeacher:
    """A copy of the tower that follows it slowly and never trains: in eval mode, of whole pictures, without dropout.

    Every rank keeps all of it, also where the blocks of the tower itself are split between the ranks.
    """

    def __init__(self, tower: ImageTower, decay: float) -> None:
        self.student, self.decay = tower, decay
        self.tower = copy.deepcopy(tower).eval().requires_grad_(requires_grad=False)

    @torch.no_grad()
    def vectors(self, x: torch.Tensor, block: int | None) -> torch.Tensor:
        """Unit vectors [B, E] of what the trained part of the tower reads."""
        return self.tower.forward_head(x) if block is None else self.tower.forward_trainable(x, block)

    @torch.no_grad()
    def follow(self) -> None:
        """After a step of the tower, on all ranks alike: teacher = decay * teacher + (1 - decay) * tower."""
        for own, taught in self._pairs():
            own.lerp_(whole(taught), 1 - self.decay)

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds of it: the parameters that move."""
        own = dict(self.tower.named_parameters())
        return {name: own[name] for name, p in self.student.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def load_state(self, state: dict[str, Any]) -> None:
        """Put them back."""
        own = dict(self.tower.named_parameters())
        for name, tensor in state.items():
            own[name].copy_(tensor)

    def _pairs(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        parameters = zip(self.tower.parameters(), self.student.parameters(), strict=True)
        return [(own, taught) for own, taught in parameters if taught.requires_grad]
