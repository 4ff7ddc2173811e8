"""Long texts in two halves, of which the first has to find the second: retrieval of long texts without pictures."""

import re


def in_halves(text: str) -> tuple[str, str] | None:
    """A text cut at the sentence end next to its middle; None where it is one sentence."""
    ends = [match.end() for match in re.finditer(r"[.!?]\s+", text)]
    if not ends:
        return None
    cut = min(ends, key=lambda end: abs(end - len(text) / 2))
    return text[:cut].strip(), text[cut:].strip()
