"""The table of the systems' towers says what the libraries say, and the page says what the table says."""

import pytest

from support import ROOT
from towers.image.table import TOWERS, markdown, measured


@pytest.mark.parametrize("row", TOWERS, ids=lambda row: row.name.replace(" ", "-"))
def test_a_tower_built_on_the_meta_device_is_what_its_row_says(row):
    assert measured(row.name, row.backbone) == row


def test_the_page_holds_the_table():
    """`python -m towers.image.table` prints it."""
    assert markdown() in (ROOT / "docs" / "towers.md").read_text(encoding="utf-8")
