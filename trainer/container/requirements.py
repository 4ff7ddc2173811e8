"""Prints pinned requirements of pyproject.toml, one per line, so that the image's build does not repeat them.

`python requirements.py pyproject.toml torch|stages|weights`: torch goes first and alone, because another package's open
range would otherwise choose a build of it; weights are installed without their dependencies (pyproject.toml says why).
Imports the standard library only: it runs before anything is installed.
"""

import sys
import tomllib
from pathlib import Path

GROUPS = ("torch", "stages", "weights")


def requirements(project: dict, group: str) -> list[str]:
    """The requirements of one step of the installation."""
    if group == "weights":
        return project["dependency-groups"]["weights"]
    lines = project["project"]["dependencies"]
    return [line for line in lines if line.startswith("torch==")] if group == "torch" else lines


def main() -> None:
    """Print the requirements of the group that the command line names."""
    if len(sys.argv) != 3 or sys.argv[2] not in GROUPS:
        sys.exit(f"usage: python requirements.py pyproject.toml {'|'.join(GROUPS)}")
    print("\n".join(requirements(tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2])))


if __name__ == "__main__":
    main()
