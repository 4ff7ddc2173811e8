"""Loaded before every test module: makes libraries that want torchvision importable beside a CPU build of torch."""

import gc
import os

import pytest

from contracts.constants import ENV_CPU_DTYPE

# Before anything copies the environment: figures that are compared must not depend on what this machine multiplies fast.
os.environ[ENV_CPU_DTYPE] = "float32"

from container_process import bucket, home  # noqa: F401

import support
import towers  # noqa: F401

# For all processes of this run, where it has several.
if support.WARM not in os.environ:
    support.hold_warm_python()

# Files that take long, about in this order: those that start many processes or train. Each is one process's from its first test
# to its last, so one that came late would have a process work alone at the end.
LONGEST = (
    "test_pipeline.py",
    "test_pretended_stages.py",
    "test_text_stages.py",
    "test_distill_export.py",
    "test_container.py",
    "test_adapt.py",
    "test_published_models.py",
    "test_train.py",
    "test_augment.py",
    "test_load.py",
    "test_layouts.py",
    "test_families.py",
    "test_ranks.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order in which they are begun: see LONGEST; the others after them, as they were found."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_collection_finish() -> None:
    """What is loaded by now is never garbage: processes that are forked would copy each page of it that a collection marks."""
    gc.collect()
    gc.freeze()
