"""Loaded before every test module: torchvision's stand-in beside a CPU build of torch, and in which processes and order tests run."""

import gc
import os

import pytest

from contracts.constants import ENV_CPU_DTYPE

# Before anything copies the environment: figures that are compared must not depend on what this machine multiplies fast.
os.environ[ENV_CPU_DTYPE] = "float32"

import warm

# For all processes of this run, where it has several.
if warm.FOLDER not in os.environ:
    warm.hold_warm_python()


def pytest_configure(config: pytest.Config) -> None:
    """The processes that share a run's tests are forks of the warm interpreter: each would import the same libraries, for ten seconds of a core."""
    if config.option.dist != "no" and config.option.tx:
        config.option.tx = [f"{process}//python={warm.warm_python()}" for process in config.option.tx]
        return
    import container_process

    import towers  # noqa: F401

    config.pluginmanager.register(container_process)


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
