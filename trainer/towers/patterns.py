"""Patterns of file names as recipes have them: `*` matches what is there, `{000..287}` and `{a,b}` name what has to be there."""

import glob
import re
from pathlib import Path


def files_of(root: Path, path: str) -> list[Path]:
    """The files below a folder that a path with `*` or `{}` names, in order; what names nothing is an error."""
    found: list[str] = []
    missing: list[str] = []
    for pattern in expanded(path):
        matches = sorted(glob.glob(pattern, root_dir=root))
        found += matches
        if not matches:
            missing.append(pattern)
    if not found:
        raise FileNotFoundError(f"no file matches {path} under {root}")
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise FileNotFoundError(f"{path} names files that are not under {root}: {', '.join(missing[:3])}{more}")
    return [root / name for name in dict.fromkeys(found)]


def expanded(pattern: str) -> list[str]:
    """The patterns behind braces: `{000..287}` counts (with leading zeros), `{a,b}` lists. Braces inside braces are refused."""
    start, end = pattern.find("{"), pattern.find("}")
    if start < 0 or end < start:
        return [pattern]
    inside = pattern[start + 1 : end]
    if "{" in inside:
        raise ValueError(f"{pattern}: braces inside braces are not read: name the files in several sources")
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", inside)
    if numbers is not None:
        first, last = numbers.groups()
        padded = any(len(number) > 1 and number.startswith("0") for number in (first, last))
        width = max(len(first), len(last)) if padded else 0
        options = [str(number).zfill(width) for number in range(int(first), int(last) + 1)]
    else:
        options = inside.split(",")
    return [pattern[:start] + option + rest for option in options for rest in expanded(pattern[end + 1 :])]
