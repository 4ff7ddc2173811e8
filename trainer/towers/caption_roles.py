"""Captions by what they are (as found, written short, written long), and how often each kind is learned from."""

from collections.abc import Mapping, Sequence

import numpy as np

ROLES = ("raw", "short", "long")


def drawn_caption(
    count: int, roles: Sequence[str | None] | None, shares: Mapping[str, float] | None, rng: np.random.Generator
) -> int:
    """The number of a random one of an image's captions: first a role by its share, then one of that role.

    Shares are among the roles that the image has. Any caption alike without shares, without roles, and where the image has no
    caption of a role with a share: rather any than none.
    """
    if shares is None or roles is None:
        return int(rng.integers(0, count))
    present = [role for role in ROLES if shares.get(role, 0) > 0 and role in roles]
    if not present:
        return int(rng.integers(0, count))
    ends = np.cumsum([shares[role] for role in present])
    role = present[int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))]
    chosen = [number for number, name in enumerate(roles) if name == role]
    return chosen[int(rng.integers(0, len(chosen)))]
