"""From the states of a text's tokens to one vector. B texts, T tokens, D width."""

from collections.abc import Sequence

import torch

from towers.language.tokens import TextTokens


def pool(hidden_BTD: torch.Tensor, mask_BT: torch.Tensor, pooling: str) -> torch.Tensor:
    """One vector per text [B, D] over the tokens whose mask is 1.

    `mean`; `weighted_mean`: the n-th of them counts n times (Muennighoff 2022, 2202.08904); `last_token`; `first_token`:
    the first of the row whatever the mask says, an encoder's [CLS] or a decoder's first token.
    """
    if pooling == "mean":
        weight = mask_BT[..., None].to(hidden_BTD.dtype)
        return (hidden_BTD * weight).sum(1) / weight.sum(1)
    if pooling == "weighted_mean":
        weight = (mask_BT.cumsum(1) * mask_BT)[..., None].to(hidden_BTD.dtype)
        return (hidden_BTD * weight).sum(1) / weight.sum(1)
    if pooling == "first_token":
        return hidden_BTD[:, 0]
    if pooling != "last_token":
        raise ValueError(f"pooling {pooling!r} is none of mean, weighted_mean, first_token, last_token")
    last_B = (mask_BT * torch.arange(mask_BT.shape[1], device=mask_BT.device)).argmax(1)
    return hidden_BTD[torch.arange(len(last_B), device=last_B.device), last_B]


def pooled_tokens(mask_BT: torch.Tensor, rows: Sequence[TextTokens]) -> torch.Tensor:
    """The mask [B, T] without the tokens that are read but not pooled."""
    if not any(row.skip for row in rows):
        return mask_BT
    skip_B1 = torch.tensor([[row.skip] for row in rows], device=mask_BT.device)
    return mask_BT * (torch.arange(mask_BT.shape[1], device=mask_BT.device) >= skip_B1)
