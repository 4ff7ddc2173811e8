"""What `prepare` keeps of a picture's negatives and regions (towers/formats/details.py), and why it leaves others out."""

from collections import Counter
from collections.abc import Iterable

from towers.data import Row
from towers.formats.details import NEGATIVES, REGIONS, Details

EDGE = 1e-3  # by which a detector's box may leave the picture, in fractions of its side: it is cut
OUTSIDE = "region box outside of the picture, whose sides are 0 and 1"


def kept_details(details: Details, captions: Iterable[str], longest: int) -> tuple[Row, Counter[str]]:
    """({negatives, regions} of those that are usable, how many were left out by reason).

    A negative is left out that is a caption of its picture (or the phrase of its region), or above `longest` characters; a region
    whose box is empty or not within the picture, or whose phrase is empty or too long.
    """
    dropped: Counter[str] = Counter()
    kept: Row = {}
    negatives = usable_negatives(details.get(NEGATIVES, []), captions, longest, dropped)
    if negatives:
        kept[NEGATIVES] = negatives
    regions: list[Row] = []
    for region in details.get(REGIONS, []):
        box = [min(max(side, 0.0), 1.0) if -EDGE <= side <= 1 + EDGE else side for side in region["box"]]
        left, top, right, bottom = box
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            dropped[f"{OUTSIDE}: {region['box']}"] += 1
            continue
        if not 0 < len(region["text"]) <= longest:
            dropped["region phrase empty or too long"] += 1
            continue
        own = usable_negatives(region.get(NEGATIVES, []), [region["text"]], longest, dropped)
        regions.append({"box": box, "text": region["text"]} | ({NEGATIVES: own} if own else {}))
    if regions:
        kept[REGIONS] = regions
    return kept, dropped


def usable_negatives(texts: list[str], right: Iterable[str], longest: int, dropped: Counter[str]) -> list[str]:
    """The different ones that differ from what is right; counts what it leaves out, except for what comes twice."""
    right_ones, usable = set(right), list[str]()
    for text in dict.fromkeys(texts):
        if text in right_ones:
            dropped["negative that is right"] += 1
        elif not 0 < len(text) <= longest:
            dropped["negative empty or too long"] += 1
        else:
            usable.append(text)
    return usable
