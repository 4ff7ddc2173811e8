"""Retrieval and zero-shot metrics; ties count against the model. I images, N captions, C classes, E dimensions."""

import numpy as np
import torch

RECALL_AT = (1, 5, 10)


def retrieval_ranks(scores_IN: torch.Tensor, image_of_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """0-based ranks: per image that of its best caption among all captions, per caption that of its image.

    A tie with a wrong item ranks behind it: equal scores must not look like success, and neither must NaN.
    """
    owns_IN = image_of_N[None, :] == torch.arange(len(scores_IN), device=scores_IN.device)[:, None]
    best_I = scores_IN.masked_fill(~owns_IN, float("-inf")).max(1).values
    image_rank_I = (~(scores_IN < best_I[:, None]) & ~owns_IN).sum(1)
    own_N = scores_IN[image_of_N, torch.arange(scores_IN.shape[1], device=scores_IN.device)]
    caption_rank_N = (~(scores_IN < own_N[None, :])).sum(0) - 1
    return image_rank_I, caption_rank_N


def recalls(images_IE: torch.Tensor, captions_NE: torch.Tensor, image_of_N: torch.Tensor) -> dict[str, float]:
    """R@1/5/10 both ways, as fractions. Every stage that reports recall calls this, so that ties count alike."""
    return recalls_of_ranks(*retrieval_ranks(images_IE @ captions_NE.T, image_of_N))


def recalls_of_ranks(image_rank_I: torch.Tensor, caption_rank_N: torch.Tensor) -> dict[str, float]:
    """R@1/5/10 both ways from what `retrieval_ranks` gives."""
    ranks = {"image_to_text": image_rank_I, "text_to_image": caption_rank_N}
    return {f"{way}_R@{k}": recall_at(rank_N, k) for way, rank_N in ranks.items() for k in RECALL_AT}


def recall_at(rank_N: torch.Tensor, k: int) -> float:
    """Share of 0-based ranks that are among the first `k`."""
    return (rank_N < k).double().mean().item()


def retrieval(images_IE: torch.Tensor, captions_NE: torch.Tensor, image_of_N: torch.Tensor) -> dict[str, float]:
    """`recalls` and the mean of the six."""
    return with_mean(recalls(images_IE, captions_NE, image_of_N))


def with_mean(metrics: dict[str, float]) -> dict[str, float]:
    """Recalls and the mean of them."""
    return metrics | {"mean_recall": sum(metrics.values()) / len(metrics)}


def zero_shot(images_IE: torch.Tensor, classes_CE: torch.Tensor, class_of_I: torch.Tensor) -> dict[str, float]:
    """Top-1 and top-5 of the nearest class vector."""
    rank_I = target_ranks(images_IE @ classes_CE.T, class_of_I)
    return {f"zero_shot_top{k}": recall_at(rank_I, k) for k in (1, 5)}


def target_ranks(scores_IC: torch.Tensor, target_of_I: torch.Tensor) -> torch.Tensor:
    """0-based rank of each row's one right column [I]; a tie ranks behind all that it ties with."""
    own_I = scores_IC.gather(1, target_of_I[:, None])
    return (~(scores_IC < own_I)).sum(1) - 1


def hits_at(
    name: str, images_IE: torch.Tensor, classes_CE: torch.Tensor, class_of_I: torch.Tensor
) -> dict[str, np.ndarray]:
    """1 for every image [I] whose own class is the nearest, or among the nearest five, by metric; else 0."""
    rank_I = target_ranks(images_IE @ classes_CE.T, class_of_I)
    return {f"{name}_top{k}": (rank_I < k).double().numpy() for k in (1, 5)}


def pair_hits(first_NE: torch.Tensor, second_NE: torch.Tensor) -> np.ndarray:
    """1 where the nearest of all second vectors is the first one's own, else 0 [N]; a tie is a miss.

    Of two captions of each image this is LLM2CLIP's caption retrieval accuracy (2411.04997), item by item.
    """
    scores_NN = first_NE @ second_NE.T
    return (target_ranks(scores_NN, torch.arange(len(scores_NN), device=scores_NN.device)) < 1).double().cpu().numpy()


def auc(positive_P: torch.Tensor, negative_N: torch.Tensor) -> float:
    """Share of pairs in which the positive scores above the negative (area under the ROC curve); a tie counts as below."""
    below_P = torch.searchsorted(negative_N.double().sort().values, positive_P.double(), right=False)
    return below_P.double().mean().item() / len(negative_N)


def spearman(a_N: torch.Tensor, b_N: torch.Tensor) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks."""
    ranks_2N = torch.stack([mean_ranks(a_N), mean_ranks(b_N)])
    return torch.corrcoef(ranks_2N)[0, 1].nan_to_num(0.0).item()


def mean_ranks(values_N: torch.Tensor) -> torch.Tensor:
    """1-based ranks, float64 [N]; equal values share the mean of their ranks."""
    _, group_N, size_G = values_N.double().unique(sorted=True, return_inverse=True, return_counts=True)
    last_G = size_G.cumsum(0).double()
    return (last_G - (size_G.double() - 1) / 2)[group_N]


def mean_recall_per_image(scores_IN: torch.Tensor, image_of_N: torch.Tensor) -> np.ndarray:
    """Every image's contribution to the mean of the six recalls: the unit that a bootstrap draws [I].

    Their mean is that of `retrieval`, where every caption counts alike: an image of many captions contributes more than one of
    few, and may contribute more than 1.
    """
    image_rank_I, caption_rank_N = retrieval_ranks(scores_IN, image_of_N)
    total = torch.zeros(len(scores_IN), dtype=torch.float64)
    weight = len(scores_IN) / len(image_of_N)
    for k in RECALL_AT:
        total += (image_rank_I < k).double() / 6
        total.index_add_(0, image_of_N, (caption_rank_N < k).double() * weight / 6)
    return total.numpy()


def paired_bootstrap(a_I: np.ndarray, b_I: np.ndarray, samples: int, seed: int) -> dict[str, float]:
    """Difference of means a - b with its 95 % interval over resampled images, and the fraction of samples above zero."""
    rng = np.random.default_rng(seed)
    difference = a_I - b_I
    draws = np.array([difference[rng.integers(0, len(difference), len(difference))].mean() for _ in range(samples)])
    low, high = np.quantile(draws, [0.025, 0.975])
    return {
        "difference": float(difference.mean()),
        "low": float(low),
        "high": float(high),
        "above_zero": float((draws > 0).mean()),
    }
