"""Figures of dev sets in a model's card."""

from evaluation.card import with_dev_sets

CARD = "# model\n\n## Measured on the dev split\n| a |\n\n## Made from\n| b |\n"


def test_the_card_gets_a_table_before_what_the_model_was_made_from():
    of_set = {"base": {"spearman": 0.7144}, "static": {"spearman": 0.6}}
    card = with_dev_sets(CARD, {"sets": {"stsb": of_set}, "left_out": {}})
    table = card[card.index("## Measured on dev sets") : card.index("## Made from")]
    assert "| dev set | figure | base | static |" in table
    assert "| stsb | spearman | 71.4 | 60.0 |" in table
    assert "- stsb: 1,497 sentence pairs" in table
    assert card.startswith("# model") and card.endswith("## Made from\n| b |\n")


def test_a_card_without_dev_sets_stays_as_it_is():
    assert with_dev_sets(CARD, {"sets": {}, "left_out": {"stsb": "no file"}}) == CARD
