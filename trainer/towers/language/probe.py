"""A short test of a language model as it is loaded: does it look both ways, and does padding stay outside?

Some architectures ignore an attention mask in some of their layers (linear attention, state spaces): they would train for
hours and stay causal. Shapes: B rows, T tokens, D width.
"""

from typing import Any

import torch

from towers.language.masks import bidirectional_mask
from towers.language.model import LanguageModel
from towers.language.structure import base_decoder, blocks_of, model_type, next_token_logits, weight_dtype

TOKENS = 6
PADDING = 3
INSTEAD = (
    "Use a model whose layers all have ordinary attention (Llama, Qwen3, Mistral, Gemma, SmolLM, Phi, OLMo, Granite), or "
    "an encoder (BERT, ModernBERT, XLM-R)"
)


CHANGED = 1e-6  # relative length of a difference; a trained model's layers move an earlier token by little more


class Limits:
    """What counts as the same state: relative lengths of differences.

    Rows of one batch differ by nothing or by rounding, which is measured. Against a batch of another shape, bfloat16 was
    seen to move a state of SmolLM2 by 1 - cosine 0.09.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        is_exact = dtype in (torch.float32, torch.float64)
        self.leaked = 1e-4 if is_exact else 2e-2
        self.other_shape = 1e-3 if is_exact else 0.3  # 1 - cosine


def probe(language_model: LanguageModel) -> None:
    """Refuse a model that stays causal or lets padding in, by name. Two passes over four rows of few tokens."""
    name = model_type(language_model.model)
    try:
        problem = _problem(language_model)
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        problem = f"it does not run with a mask of its own ({type(error).__name__}: {error})"
    if problem is not None:
        raise ValueError(f"language_model: {name} cannot become a text encoder: {problem}. {INSTEAD}")


@torch.no_grad()
def probe_output(language_model: LanguageModel) -> None:
    """Refuse a causal model whose logits are computed in a way that `next_token_logits` does not know."""
    whole = language_model.model
    size = min(len(language_model.tokenizer), base_decoder(whole).get_input_embeddings().num_embeddings)
    device = next(whole.parameters()).device
    ids_1T = torch.tensor([[size * (n + 1) // (TOKENS + 1) for n in range(TOKENS)]], device=device)
    mask_1T = torch.ones_like(ids_1T)
    positions_1T = torch.arange(TOKENS, device=device)[None]
    four = bidirectional_mask(mask_1T, weight_dtype(base_decoder(whole)))
    expected = whole(input_ids=ids_1T, attention_mask=four, position_ids=positions_1T, use_cache=False).logits
    found = next_token_logits(whole, language_model.hidden(ids_1T, mask_1T))
    if (found.float() - expected.float()).norm() > 1e-2 * expected.float().norm():
        raise ValueError(
            f"mntp: {model_type(whole)} computes its logits in a way that is not known here: leave the block mntp out and "
            "name it in contrastive.language_model"
        )


@torch.no_grad()
def _problem(language_model: LanguageModel) -> str | None:
    base = base_decoder(language_model.model)
    device = next(base.parameters()).device
    limits = Limits(weight_dtype(base))
    was_training = language_model.model.training
    language_model.model.eval()
    # Tokens all over the vocabulary, and as many others; the first are not taken: special ones are there.
    rows = min(len(language_model.tokenizer), base.get_input_embeddings().num_embeddings)
    words = [rows * (n + 1) // (TOKENS + PADDING + 2) for n in range(TOKENS + PADDING + 1)]
    text, others, changed = words[:TOKENS], words[TOKENS : TOKENS + PADDING], words[-1]
    filled = [language_model.pad_id] * PADDING
    ids_BT = torch.tensor([text + filled, [*text[:-1], changed, *filled], text + filled, text + others], device=device)
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[:, TOKENS:] = 0
    padded_BTD = language_model.hidden(ids_BT, mask_BT)[:, :TOKENS].float()
    blocks = _Blocks(language_model)
    alone_BTD = blocks.hidden(ids_BT[:1, :TOKENS])
    language_model.model.train(was_training)

    noise = _difference(padded_BTD[2], padded_BTD[0])
    if not torch.isfinite(padded_BTD).all():
        return "its states are not finite"
    if _difference(padded_BTD[1, :-1], padded_BTD[0, :-1]) <= max(CHANGED, 10 * noise):
        return "a later token changes no earlier state, it looks back only"
    causal = blocks.causal()
    if causal:
        return f"{len(causal)} of its {len(blocks.found)} layers look back only, the first is {causal[0]}"
    if _difference(padded_BTD[3], padded_BTD[0]) > max(limits.leaked, 10 * noise):
        return "what stands in the padding changes the states of real tokens"
    angle = 1 - torch.nn.functional.cosine_similarity(padded_BTD[0], alone_BTD, dim=-1).min().item()
    if angle > limits.other_shape:
        return f"a text with padding has other states than alone (1 - cosine {angle:.3f})"
    return None


class _Blocks:
    """Each block on its own: its input is one text four times, with another last state in the second and third row.

    Two other states, because a trained model hardly looks at some: its first token takes the attention that none wants.
    """

    def __init__(self, language_model: LanguageModel) -> None:
        self.language_model = language_model
        self.found = blocks_of(language_model.model)
        self.changes: dict[str, tuple[float, float]] = {}  # of earlier states, and those of the fourth row

    def hidden(self, ids_1T: torch.Tensor) -> torch.Tensor:
        """States [T, D] of the text; `changes` is filled on the way."""
        handles = []
        for name, block in self.found:
            handles.append(block.register_forward_pre_hook(self._before, with_kwargs=True))
            handles.append(block.register_forward_hook(self._after(name)))
        ids_4T = ids_1T.expand(4, -1)
        try:
            return self.language_model.hidden(ids_4T, torch.ones_like(ids_4T))[0].float()
        finally:
            for handle in handles:
                handle.remove()

    def causal(self) -> list[str]:
        """Names of the blocks in which a later state changes no earlier one."""
        return [name for name, (moved, noise) in self.changes.items() if moved <= max(CHANGED, 10 * noise)]

    def _before(self, _block: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        hidden_4TD = inputs[0] if inputs else options.get("hidden_states")
        if not isinstance(hidden_4TD, torch.Tensor) or hidden_4TD.ndim != 3 or len(hidden_4TD) != 4:
            return None
        hidden_4TD = hidden_4TD[:1].repeat(4, 1, 1)
        hidden_4TD[1, -1] = -hidden_4TD[0, -1]
        hidden_4TD[2, -1] = hidden_4TD[0, 1]
        return ((hidden_4TD, *inputs[1:]), options) if inputs else ((), {**options, "hidden_states": hidden_4TD})

    def _after(self, name: str) -> Any:
        def measure(_block: Any, _inputs: Any, output: Any) -> None:
            states = output[0] if isinstance(output, tuple) else output
            if isinstance(states, torch.Tensor) and states.ndim == 3 and len(states) == 4:
                text, negated, other, same = states[:, :-1].float()
                moved = max(_difference(negated, text), _difference(other, text))
                self.changes[name] = (moved, _difference(same, text))

        return measure


def _difference(one_TD: torch.Tensor, other_TD: torch.Tensor) -> float:
    """The largest relative change of a token's state."""
    lengths_T = other_TD.norm(dim=-1).clamp_min(1e-30)
    return ((one_TD - other_TD).norm(dim=-1) / lengths_T).max().item()
