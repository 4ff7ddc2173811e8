"""Whether enough dev images have two captions: what two texts about one thing score is fitted on them."""

LEAST_DESCRIBED = 50  # images with two captions, which texts are compared by


def few_described(described: int, images: int) -> str | None:
    """What dev lacks where `described` of its images have two captions; None where scores can be fitted.

    Of a small dev set half is enough: what its figures mean is for whoever chose it.
    """
    needed = max(2, min(LEAST_DESCRIBED, (images + 1) // 2))
    if described >= needed:
        return None
    return (
        f"{described} of {images} dev images have two captions or more, and export needs at least {needed}: they show which "
        "scores two texts about one thing have. Name a source with several captions of an image with the split dev in "
        "prepare.pairs"
    )
