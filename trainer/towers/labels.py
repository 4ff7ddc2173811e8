"""Labels of pictures: when two are the same thing, and which are held out of every training."""

import hashlib


def normalised_label(label: str) -> str:
    """Lower case; every character that is no letter or digit is a space, runs of spaces are one: "T-shirt" is "t shirt"."""
    return " ".join("".join(c if c.isalnum() else " " for c in label.lower()).split())


def is_held_out(label: str, fraction: float) -> bool:
    """Whether a label belongs to the fraction that is never trained on: the same labels in every set and on every machine."""
    digest = hashlib.sha256(normalised_label(label).encode()).hexdigest()
    return int(digest[:8], 16) % 1000 < round(1000 * fraction)
