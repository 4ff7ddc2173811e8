"""Loaded before every test module: makes libraries that want torchvision importable beside a CPU build of torch."""

import towers  # noqa: F401
