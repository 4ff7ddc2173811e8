"""Every command that reads tables of images takes the columns that a person names: finetune, calibrate and augment."""

from pathlib import Path

import pytest

from augment.items import read_wanted
from exchange.calibrate import Images, usable
from towers.formats.item import Columns, FormatError

OWN = Columns("Bild", ("Titel", "Text"), "Art")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    file = tmp_path / "shop.csv"
    file.write_text("Bild;Titel;Text;Art\n1.jpg;a vase;a tall vase;Vasen\n2.jpg;a jug;a round jug;Kannen\n")
    return file


def test_captions_are_asked_for_by_the_columns_that_are_named(shop):
    wanted, _ = read_wanted(shop, OWN)
    assert [(each.kind, each.name, each.captions) for each in wanted] == [
        ("class", "Kannen", []),
        ("class", "Vasen", []),
        ("image", "Vasen", ["a vase", "a tall vase"]),
        ("image", "Kannen", ["a jug", "a round jug"]),
    ]


def test_what_is_neither_images_nor_classes_is_refused_with_what_the_table_lacks(shop):
    with pytest.raises(
        FormatError, match=r"no column that looks like .*--image-column NAME\. Nor is it a file of classes"
    ):
        read_wanted(shop)
    # Who names columns means images.
    with pytest.raises(FormatError, match=r"^shop\.csv has no column 'Foto'; it has 'Bild', 'Titel', 'Text', 'Art'$"):
        read_wanted(shop, Columns("Foto"))


def test_scores_are_fitted_on_the_columns_that_are_named(shop):
    # Its images are not there, which is said of those that the columns name.
    with pytest.raises(Exception, match=r"Left out: 1\.jpg: there is no file .*1\.jpg"):
        usable(Images(shop, OWN))
