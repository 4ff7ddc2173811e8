"""Weights that Python packages carry: the packages are installed for their files and never imported."""

import importlib.util
from pathlib import Path


def file_in_package(package: str, pattern: str, what: str) -> Path:
    """The first file of a package that matches `pattern`; `what` it is to be says an error."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"package {package} is not installed: it carries {what}")
    files = sorted(Path(spec.origin).parent.rglob(pattern))
    if not files:
        raise FileNotFoundError(f"package {package} carries no {pattern.removeprefix('*')}")
    return files[0]
