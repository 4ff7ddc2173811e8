"""Loaded before every test module: makes libraries that want torchvision importable beside a CPU build of torch."""

from container_process import bucket, home  # noqa: F401

import towers  # noqa: F401
