"""Prints pinned requirements of pyproject.toml, one a line, so that the image's build lists nothing a second time.

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
    wanted = project["project"]["dependencies"]
    return [line for line in wanted if line.startswith("torch==")] if group == "torch" else wanted


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[2] not in GROUPS:
        sys.exit(f"usage: python requirements.py pyproject.toml {'|'.join(GROUPS)}")
    print("\n".join(requirements(tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2])))


if __name__ == "__main__":
    main()
