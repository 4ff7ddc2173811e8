"""Recalls of vectors as they are stored compactly: prefixes, int8, bits, bits with rescoring.

Shapes: I images, N captions, E dimensions, L of them kept.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from contracts.types import ModelManifestQuantisation
from towers.metrics import recalls_of_ranks, retrieval, retrieval_ranks, with_mean
from towers.rotation import rotate

# As many hits by bits as sentence-transformers takes for ten (rescore_multiplier 4), then by float query and int8 vectors.
RESCORED = 40


def compact_recalls(
    images_IE: torch.Tensor,
    captions_NE: torch.Tensor,
    image_of_N: torch.Tensor,
    dims: Sequence[int],
    quantisation: ModelManifestQuantisation,
) -> dict[str, dict[str, float]]:
    """Six recalls and their mean by form and length, for instance `int8@256`; both sides are stored in that form."""
    int8_scale, is_rotated = quantisation["int8_scale"], quantisation.get("bits") == "rotated"
    found = {}
    for length in dims:
        images_IL, captions_NL = (F.normalize(x[:, :length].float(), dim=-1) for x in (images_IE, captions_NE))
        images_int8_IL, captions_int8_NL = (as_int8(x, int8_scale) for x in (images_IL, captions_NL))
        signed_IL, signed_NL = (rotated(x) if is_rotated else x for x in (images_IL, captions_NL))
        bits_IN = as_bits(signed_IL) @ as_bits(signed_NL).T
        found |= {
            f"float@{length}": retrieval(images_IL, captions_NL, image_of_N),
            f"int8@{length}": retrieval(
                F.normalize(images_int8_IL, dim=-1), F.normalize(captions_int8_NL, dim=-1), image_of_N
            ),
            f"bits@{length}": recalls_of_scores(bits_IN, bits_IN, image_of_N),
            f"bits, rescored@{length}": recalls_of_scores(
                rescored(bits_IN, images_IL @ F.normalize(captions_int8_NL, dim=-1).T),
                rescored(bits_IN.T, captions_NL @ F.normalize(images_int8_IL, dim=-1).T).T,
                image_of_N,
            ),
        }
    return found


def as_int8(vectors_NL: torch.Tensor, scale: float) -> torch.Tensor:
    """Whole numbers from -128 to 127, as servers write them."""
    return (vectors_NL * scale).round().clamp(-128, 127)


def rotated(vectors_NL: torch.Tensor) -> torch.Tensor:
    """The numbers that servers take bits of where a manifest's `bits` are `rotated`."""
    return torch.from_numpy(rotate(vectors_NL.cpu().numpy())).to(vectors_NL.device)


def as_bits(vectors_NL: torch.Tensor) -> torch.Tensor:
    """1 where a number is above zero, else -1: the dot product counts equal bits."""
    return (vectors_NL > 0).float() * 2 - 1


def rescored(bits_QD: torch.Tensor, exact_QD: torch.Tensor) -> torch.Tensor:
    """Scores of queries Q against stored vectors D: the exact ones for the first hits by bits, nothing for the others."""
    hits_QK = bits_QD.topk(min(RESCORED, bits_QD.shape[1]), dim=1).indices
    return torch.full_like(exact_QD, float("-inf")).scatter(1, hits_QK, exact_QD.gather(1, hits_QK))


def recalls_of_scores(
    from_images_IN: torch.Tensor, from_captions_IN: torch.Tensor, image_of_N: torch.Tensor
) -> dict[str, float]:
    """As `retrieval`, where the two ways of searching have scores of their own."""
    image_rank_I, _ = retrieval_ranks(from_images_IN, image_of_N)
    _, caption_rank_N = retrieval_ranks(from_captions_IN, image_of_N)
    return with_mean(recalls_of_ranks(image_rank_I, caption_rank_N))
