"""Tokens a second of a language model: captions embedded and trained in contrast, packed against padded."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch

from bench.rounds import Row, Times, in_turns
from bench.small_models import proportioned_llama
from engine.run import fast_dtype
from engine.world import World
from gpu_check.small import small_tokenizer
from gpu_check.speed import random_texts
from tasks.contrastive import Contrastive, Sampler
from tasks.contrastive_groups import Groups
from towers.language.lora import with_lora
from towers.language.model import LanguageModel
from towers.language.tokens import TextTokens
from towers.teachers import text_features

WANTED = 1.3  # packed against padded, on captions


class Sizes(NamedTuple):
    """The model's shape (SmolLM2-135M's in full), texts that are embedded, groups of two in a batch of `contrastive`."""

    layers: int
    width: int
    heads: int
    key_heads: int
    texts: int
    batch_tokens: int
    groups: int
    micro_batch: int
    rounds: int


ON_CPU = Sizes(30, 576, 9, 3, 256, 2048, 32, 32, 7)
ON_GPU = Sizes(30, 576, 9, 3, 8192, 16384, 512, 256, 5)
QUICK = Sizes(2, 64, 4, 2, 16, 256, 4, 4, 1)


@dataclass
class NumberedTexts(LanguageModel):
    """A model whose texts are numbers of rows of tokens: their lengths are what matters here."""

    rows: list[TextTokens] = field(default_factory=list)

    def tokens(self, texts: Any, max_tokens: int) -> list[TextTokens]:
        """The rows; none is longer than `max_tokens`."""
        return [self.rows[int(text)] for text in texts]


def measure(device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """Both stages' own code on the same texts, in turns."""
    torch.manual_seed(0)
    tokenizer = small_tokenizer()
    random_weights = proportioned_llama(
        tokenizer, layers=sizes.layers, width=sizes.width, heads=sizes.heads, key_heads=sizes.key_heads
    )
    rows = random_texts(max(sizes.texts, 4 * sizes.groups), len(tokenizer))
    model = NumberedTexts(random_weights.to(device, fast_dtype(device)).eval(), tokenizer, rows=rows)
    yield from embedding(model, device, sizes)
    trained = NumberedTexts(with_lora(model, {"rank": 16, "alpha": 32, "dropout": 0.0}).model, tokenizer, rows=rows)
    trained.model.to(device).train()
    yield from contrast(trained, device, sizes)


def embedding(model: NumberedTexts, device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """What `embed_captions` does with its texts."""
    texts = [str(number) for number in range(sizes.texts)]
    settings: Any = {"max_tokens": 77, "batch_tokens": sizes.batch_tokens, "pooling": "mean"}

    def through(*, packing: bool) -> Any:
        return lambda _: text_features(model, texts, settings | {"packing": packing})

    ways = {"padded": through(packing=False), "packed": through(packing=True)}
    tokens = sum(len(model.rows[number]) for number in range(sizes.texts))
    yield from compared("embed_captions", in_turns(ways, sizes.rounds, device), tokens)


def contrast(model: NumberedTexts, device: torch.device, sizes: Sizes) -> Iterator[Row]:
    """The gradient of a step of `contrastive`, each text embedded twice as GradCache does; a round is a step."""
    numbers = range(4 * sizes.groups)
    groups = [[str(numbers[2 * place]), str(numbers[2 * place + 1])] for place in range(2 * sizes.groups)]
    settings = {"batch_size": sizes.groups, "concept_fraction": 0.0, "micro_batch": sizes.micro_batch}
    settings |= {"max_tokens": 77, "temperature": 0.05, "pooling": "mean"}

    def step_of(*, packing: bool) -> Any:
        config: Any = settings | {"packing": packing}
        run: Any = SimpleNamespace(config=config, device=device, world=World(0, 1, 0, device))
        task = Contrastive(run, model, Sampler(Groups(groups), config, 0), [])

        def step(number: int) -> None:
            model.model.zero_grad(set_to_none=True)
            task.backward(number % 2)

        return step

    ways = {"padded": step_of(packing=False), "packed": step_of(packing=True)}
    times = in_turns(ways, sizes.rounds, device)
    # Two steps are an epoch, which sees every group once.
    tokens = sum(len(model.rows[number]) for number in numbers) // 2
    yield from compared("contrastive", times, tokens)


def compared(stage: str, times: Times, tokens: int) -> Iterator[Row]:
    """Rates of both, and how many times as fast the packed way is."""
    for name in times.seconds:
        yield {
            "what": f"{stage}, tokens a second, {name}",
            "value": tokens / times.median(name),
            "unit": "",
            "note": f"{tokens} real tokens",
        }
    ratio = times.ratio("padded", "packed")
    yield {"what": f"{stage}, packed against padded", "value": ratio, "unit": "x", "least": WANTED}
