"""Measures of how well a model understands languages, on vectors whose neighbours are known."""

import torch

from towers.languages import translation_recalls


def test_a_translation_counts_where_its_own_english_text_is_nearest():
    count = 100
    rows = [{"id": str(n), "source": "s", "en": f"en {n}", "de": f"de {n}", "open": True} for n in range(count)]
    rows[0]["fr"] = "of one row no figure is given"
    rows.append({"id": "again", "en": "en 3", "de": "de 3"})  # an English text that is there already is no second one

    def embed(texts):
        numbers = [int(text.split()[1]) for text in texts]
        # Every fourth German text stands where another English one does.
        wrong = [text.startswith("de") and number % 4 == 0 for text, number in zip(texts, numbers, strict=True)]
        return torch.eye(count)[[(n + 1) % count if bad else n for n, bad in zip(numbers, wrong, strict=True)]]

    assert translation_recalls(rows, embed, least=2) == {"de": (count * 3 / 4 + 1) / (count + 1)}
    assert translation_recalls([{"id": "1", "en": "alone"}], embed, least=2) == {}
