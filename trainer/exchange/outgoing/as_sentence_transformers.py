"""sentence-transformers' layout: a folder for each text tier, which `SentenceTransformer(FOLDER)` opens.

A transformer is Transformer, Pooling (mean), Dense, Normalize; the static tier is StaticEmbedding, Normalize. Modules are named as
releases since 2.2 read them.
"""

from pathlib import Path

from safetensors.torch import save_file

from contracts.types import Tier
from exchange.outgoing.bert import write_bert
from exchange.outgoing.floats import FloatModel, static_rows
from exchange.outgoing.tokenizer_files import hf_tokenizer, write_json, write_tokenizer
from towers.student.model import TextStudent
from towers.wordpiece import SPECIAL_TOKENS

MODULES = "sentence_transformers.models"
ABOUT = {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"}


def write(model: FloatModel, out: Path, tiers: list[Tier]) -> list[str]:
    """Write the tiers; returns the files and folders that a user opens."""
    for tier in tiers:
        (out / tier).mkdir(parents=True)
        if tier == "static":
            write_static_embedding(model, out / tier)
        else:
            write_transformer(model, out / tier, model.students[tier], tier)
        write_json(out / tier / "config_sentence_transformers.json", ABOUT)
    return list(tiers)


def write_transformer(model: FloatModel, folder: Path, student: TextStudent, tier: str) -> None:
    """One transformer."""
    write_bert(folder, student, tier)
    write_tokenizer(folder, model.wordpiece, model.context_length)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": model.context_length, "do_lower_case": False})
    width, embed_dim = student.shape.width, student.shape.embed_dim
    pooling = {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    dense = {
        "in_features": width,
        "out_features": embed_dim,
        "bias": True,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    for name, config in {"1_Pooling": pooling, "2_Dense": dense, "3_Normalize": None}.items():
        (folder / name).mkdir()
        if config is not None:
            write_json(folder / name / "config.json", config)
    weights = {f"linear.{name}": value.detach().clone() for name, value in student.projection.state_dict().items()}
    save_file(weights, folder / "2_Dense" / "model.safetensors", metadata={"format": "pt"})
    write_modules(folder, {"": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense", "3_Normalize": "Normalize"})


def write_static_embedding(model: FloatModel, folder: Path) -> None:
    """The static tier: its mean differs from our sum in length only, which Normalize takes away."""
    inner = folder / "0_StaticEmbedding"
    inner.mkdir()
    rows_VE = static_rows(model.static, len(SPECIAL_TOKENS))
    save_file({"embedding.weight": rows_VE}, inner / "model.safetensors", metadata={"format": "pt"})
    hf_tokenizer(model.wordpiece, model.context_length).save(str(inner / "tokenizer.json"))
    (folder / "1_Normalize").mkdir()
    write_modules(folder, {"0_StaticEmbedding": "StaticEmbedding", "1_Normalize": "Normalize"})


def write_modules(folder: Path, kinds: dict[str, str]) -> None:
    """modules.json: folder by folder, in order."""
    rows = [
        {"idx": number, "name": str(number), "path": path, "type": f"{MODULES}.{kind}"}
        for number, (path, kind) in enumerate(kinds.items())
    ]
    write_json(folder / "modules.json", rows)
