"""The table of the systems' towers says what the libraries say, and the page says what the table says."""

import pytest

from towers.image.table import TOWERS, markdown, measured
from warm import ROOT


def cells(table: str) -> list[list[str]]:
    """The cells of every row: pages are formatted, so that columns are wider than what is printed."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return [row for row in rows if set("".join(row)) != {"-"}]


@pytest.mark.parametrize("row", TOWERS, ids=lambda row: row.name.replace(" ", "-"))
def test_a_tower_built_on_the_meta_device_is_what_its_row_says(row):
    assert measured(row.name, row.backbone) == row


def test_the_page_holds_the_table():
    """`python -m towers.image.table` prints it."""
    page = cells((ROOT / "docs" / "towers.md").read_text(encoding="utf-8"))
    assert [row for row in cells(markdown()) if row not in page] == []
