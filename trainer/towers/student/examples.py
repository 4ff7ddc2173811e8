"""What a step of a student sees: texts drawn by the recipe's mix, some of them made noisy, in batches of similar length."""

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from contracts.types import DistillConfig, ProjectionTexts
from towers.student.texts import StudentTexts
from towers.text_noise import contradiction, with_symbols, with_typing_errors
from towers.text_tables import NumberTable
from towers.token_batches import batches_by_length
from towers.wordpiece import WordPiece, with_special_tokens

POOL_BATCHES = 32  # whose texts are drawn at once and sorted by length, where a recipe says no other
PROJECTION_TEXTS = 4096  # that the projection of a transformer is fitted to, where a recipe says no other

Drawing = DistillConfig | ProjectionTexts  # settings that say which texts are drawn


@dataclass
class Example:
    """A text as it is learned from: its tokens without special ones, its target, its image or -1, a contradiction or None."""

    ids: list[int]
    row: int
    image: int
    contradiction: list[int] | None


class Sampler:
    """Draws texts by the weights of the mix; equal names of a draw, equal texts. `tokens`: ids of the texts, by kind."""

    def __init__(
        self,
        texts: StudentTexts,
        wordpiece: WordPiece,
        tokens: Mapping[str, NumberTable],
        config: Drawing,
        seed: int,
    ) -> None:
        self.wordpiece, self.seed, self.noise = wordpiece, seed, config["noise"]
        self.has_contradictions = config["negatives_weight"] > 0
        self.pool_batches: int = cast(Mapping[str, Any], config).get("pool_batches", POOL_BATCHES)
        mix = cast(dict[str, float], dict(config["mix"]))
        self.weights = {name: mix[name] for name in texts.kinds if mix[name] > 0}
        self.kinds = {name: texts.kinds[name] for name in self.weights}
        self.tokens = {name: tokens[name] for name in self.kinds}

    def draw(self, name: str, count: int) -> list[Example]:
        """`count` examples; `name` decides which."""
        rng = random.Random(f"{self.seed}/{name}")
        drawn, changed = [], []
        for kind in rng.choices(list(self.weights), list(self.weights.values()), k=count):
            number = rng.randrange(len(self.tokens[kind]))
            source = self.kinds[kind]
            row, image = int(source.rows[number]), int(source.images[number])
            example = Example(self.tokens[kind][number], row, image, None)
            text = noisy = source.texts[number]
            if kind != "long" and rng.random() < self.noise["typing_errors"]:
                noisy = with_typing_errors(noisy, rng)
            if rng.random() < self.noise["symbols"]:
                noisy = with_symbols(noisy, rng)
            if noisy != text:
                changed.append((example, "ids", noisy))
            if self.has_contradictions and kind in ("captions", "groups") and noisy == text:
                other = contradiction(text, rng)
                if other is not None:
                    changed.append((example, "contradiction", other))
            drawn.append(example)
        for (example, attribute, _), ids in zip(
            changed, self.wordpiece.tokens([text for *_, text in changed]), strict=True
        ):
            setattr(example, attribute, ids)
        return [example for example in drawn if example.ids]

    def batches(self, name: str, batch_tokens: int, context_length: int) -> Iterator[list[Example]]:
        """Endless batches: texts of similar length together, batches in random order."""
        for number in itertools.count():
            yield from self.pool(name, number, batch_tokens, context_length)

    def pool(self, name: str, number: int, batch_tokens: int, context_length: int) -> list[list[Example]]:
        """The batches of texts that are drawn together; pools come one after the other, each by its number alone."""
        chosen: list[Example] = []
        lengths: list[int] = []
        while sum(lengths) < self.pool_batches * batch_tokens:
            more = self.draw(f"{name}/{number}/{len(chosen)}", 256)
            chosen += more
            lengths += [min(len(example.ids) + 2, context_length) for example in more]
        batches = batches_by_length(lengths, batch_tokens)
        random.Random(f"{self.seed}/{name}/order/{number}").shuffle(batches)
        return [[chosen[index] for index in batch] for batch in batches]


def projection_texts(sampler: Sampler, config: Drawing) -> tuple[list[list[int]], list[int]]:
    """The texts that the projection of a transformer is fitted to: ids with special tokens, and the number of each target."""
    examples = sampler.draw("head", config.get("projection_texts", PROJECTION_TEXTS))
    ids = [with_special_tokens(example.ids, config["context_length"]) for example in examples]
    return ids, [example.row for example in examples]
