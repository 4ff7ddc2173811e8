"""Tiny twins of text teachers in their public layouts, the published models' sizes, and their features as their authors compute them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from language.families import DECODERS, ENCODERS, save_tokenizer, source, write_checkpoint
from language.llm2vec import WRAPPER, encoded_by_the_authors, make_adapter

from columns.system import Failed, Language, near
from towers.language.read import read_language_model

TEXTS = ["two blue squares beside the red circle", "a line", "the field is plain and there is not a red circle"]
CLOSE = 1e-4
MAX_TOKENS = 64
LORAS = ("mntp", "simcse")


# ---- the columns ----------------------------------------------------------------------------------


def construct(language: Language) -> str:
    """Build the published model on the meta device."""
    with torch.device("meta"):
        model = language.whole()
    found = sum(parameter.numel() for parameter in model.parameters())
    if found != language.parameters:
        raise Failed(f"{found:,} parameters, and {language.parameters:,} are published")
    return f"{found / 1e6:,.0f} M"


@torch.inference_mode()
def load(language: Language, folder: Path, named: dict[str, Any]) -> str:
    """Open the twin as a recipe does; its features of texts are its authors'."""
    model = read_language_model(named, torch.float32)  # pyright: ignore[reportArgumentType]
    found = model.features(model.tokens(TEXTS, MAX_TOKENS), "mean")
    expected = language.reference(folder, TEXTS)
    apart = float((found - expected).abs().max())
    if not apart <= CLOSE or float(expected.std()) < 1e-3:
        raise Failed(f"features are {apart:.1e} from those of the reference")
    return f"features {near(apart)} {'the authors' if named.get('template') else 'transformers'}"


# ---- references -----------------------------------------------------------------------------------


def bidirectional(folder: Path, texts: list[str]) -> torch.Tensor:
    """Mean states [N, D] of one text at a time by transformers, every token seeing every other."""
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    return of_states(hf.AutoModel.from_pretrained(folder).eval(), tokenizer, texts)


def of_states(model: Any, tokenizer: Any, texts: list[str]) -> torch.Tensor:
    """Mean states [N, D] under a mask of noughts, which hides nothing."""
    means = []
    for text in texts:
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        open_mask = torch.zeros(1, 1, ids.shape[1], ids.shape[1])
        means.append(model(input_ids=ids, attention_mask=open_mask, use_cache=False).last_hidden_state.mean(1)[0])
    return torch.stack(means)


def encoded(folder: Path, texts: list[str]) -> torch.Tensor:
    """Mean states [N, D] of an encoder by transformers, with its special tokens."""
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    model = hf.AutoModel.from_pretrained(folder).eval()
    rows = [torch.tensor([tokenizer(text)["input_ids"]]) for text in texts]
    return torch.stack([model(input_ids=ids).last_hidden_state.mean(1)[0] for ids in rows])


def by_the_authors(folder: Path, texts: list[str]) -> torch.Tensor:
    """LLM2Vec's `encode`, in which the wrapper and the padding on the left are."""
    model = hf.LlamaModel.from_pretrained(folder).eval()
    model.config.is_causal = False
    return encoded_by_the_authors(folder, model, texts, MAX_TOKENS)


def with_adapters(folder: Path, texts: list[str]) -> torch.Tensor:
    """A base with both LoRAs as peft merges them."""
    from peft import PeftModel

    model: Any = hf.AutoModel.from_pretrained(folder)
    for name in LORAS:
        model = PeftModel.from_pretrained(model, folder / name).merge_and_unload()  # pyright: ignore[reportCallIssue]
    return of_states(model.eval(), hf.AutoTokenizer.from_pretrained(folder), texts)


# ---- twins ----------------------------------------------------------------------------------------


def decoder(family: str) -> Callable[[Path], dict[str, Any]]:
    """A causal model of a family, with its output layer."""
    return lambda folder: source(write_checkpoint(folder, DECODERS[family]))


def encoder(family: str) -> Callable[[Path], dict[str, Any]]:
    """An encoder."""
    return lambda folder: source(write_checkpoint(folder, ENCODERS[family], is_encoder=True))


def write_cc(folder: Path) -> dict[str, Any]:
    """LLM2CLIP's caption-tuned Llama: the stack of blocks without an output layer, the authors' code named in the configuration."""
    size = save_tokenizer(folder, has_pad=False, adds_bos=True)
    torch.manual_seed(0)
    config = hf.LlamaConfig(vocab_size=size, bos_token_id=1, eos_token_id=0, **DECODERS["llama3"].options)
    hf.LlamaModel(config).save_pretrained(folder)
    document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    document |= {
        "_name_or_path": "microsoft/LLM2CLIP-Llama-3-8B-Instruct-CC-Finetuned",
        "architectures": ["LlamaEncoderModel"],
        "auto_map": {"AutoModel": "modeling_llama_encoder.LlamaEncoderModel"},
    }
    (folder / "config.json").write_text(json.dumps(document), encoding="utf-8")
    return source(folder, template=WRAPPER, add_bos=True)


def write_llm2vec(family: str) -> Callable[[Path], dict[str, Any]]:
    """A base and the two LoRAs of LLM2Vec beside it, which are trained on the stack of blocks alone."""

    def write(folder: Path) -> dict[str, Any]:
        write_checkpoint(folder, DECODERS[family])
        for seed, name in enumerate(LORAS):
            make_adapter(hf.AutoModel.from_pretrained(folder), folder / name, seed)
        return source(folder, adapters=[str(folder / name) for name in LORAS])

    return write


def causal(config: type, **fields: Any) -> Callable[[], Any]:
    """The published model with its output layer."""
    return lambda: hf.AutoModelForCausalLM.from_config(config(**fields))


def headless(config: type, **fields: Any) -> Callable[[], Any]:
    """The published model without one."""
    return lambda: hf.AutoModel.from_config(config(**fields))
