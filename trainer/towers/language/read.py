"""Reads a language model or an encoder: Hugging Face folder (one file or several), GGUF file, or a package that carries one."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from contracts.types import LanguageModel as LanguageModelSource
from engine.folders.weights import placed
from towers.language.adapters import merge_adapters
from towers.language.model import LanguageModel
from towers.language.probe import probe
from towers.language.tokens import Reading, bos_ids, reading_in
from towers.package_files import file_in_package
from towers.published_weights import pointers_told, refuse_missing


def read_language_model(source: LanguageModelSource, dtype: torch.dtype) -> LanguageModel:
    """The model of a recipe with its tokenizer, its adapters merged; one that cannot be a text encoder is refused.

    Raises FileNotFoundError where a folder is missing, ValueError with what to do where a model does not fit.
    """
    folder, options = weights_of(source)
    template, add_bos = source.get("template"), source.get("add_bos", False)
    with pointers_told(Path(folder)):
        if not options and is_encoder(folder):
            language_model = _with(read_encoder(Path(folder), dtype), Reading(template, add_bos, special_tokens=True))
        else:
            model, tokenizer, has_output_layer = read_decoder(folder, options, dtype)
            reading = Reading(template, add_bos)
            language_model = LanguageModel(model, tokenizer, reading, has_output_layer=has_output_layer)
    bos_ids(language_model.tokenizer, language_model.reading)
    merge_adapters(language_model.model, [Path(placed(adapter)) for adapter in source.get("adapters", [])])
    probe(language_model)
    return language_model


def language_model_in(folder: Path) -> LanguageModelSource:
    """The source of a language model that an earlier stage saved, read as that stage read it."""
    source: LanguageModelSource = {"source": "directory", "name": str(folder)}
    return cast(LanguageModelSource, {**source, **reading_in(folder)})


def weights_of(source: LanguageModelSource) -> tuple[str, dict[str, Any]]:
    """(folder, options for transformers) of a Hugging Face folder, a GGUF file, or a package that carries one."""
    if source["source"] == "directory":
        name = placed(source["name"])
        path = Path(name)
        if not path.exists():
            raise FileNotFoundError(f"language_model.name: there is no folder or file {path}")
        if path.suffix == ".gguf":
            return str(path.parent), {"gguf_file": path.name}
        return name, {}
    file = file_in_package(source["name"], "*.gguf", "the language model")
    return str(file.parent), {"gguf_file": file.name}


def is_encoder(folder: str) -> bool:
    """Whether the folder holds a bidirectional encoder; what is neither encoder nor decoder is an error."""
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    name = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(
            f"language_model: {name} has an encoder and a decoder, which is not supported: name one of either"
        )
    if name in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return not getattr(config, "is_decoder", False)
    if name not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ValueError(
            f"language_model: {folder} holds {name}, which is neither a causal language model nor an encoder"
        )
    return False


def read_decoder(folder: str, options: dict[str, Any], dtype: torch.dtype) -> tuple[Any, Any, bool]:
    """(causal LM, tokenizer, whether the checkpoint brought an output layer).

    A released text encoder such as LLM2CLIP's is saved without one, and its names start below those of a causal LM.
    """
    with read_once() if options else nullcontext():
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        if options:
            from transformers import GgufConfig  # not in every version of transformers 5, and only here needed

            # Packed blocks can neither train nor merge: unpack them into ordinary matrices.
            options = {**options, "quantization_config": GgufConfig(dequantize=True)}
        found: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, output_loading_info=True, **options)
    model, info = found
    # The GGUF's quantisation setting stays in the config; the weights are ordinary floats now and must be saved as such.
    if getattr(model.config, "quantization_config", None) is not None:
        del model.config.quantization_config
    inside = f"{model.base_model_prefix}."
    missing = [str(name) for name in info["missing_keys"]]
    refuse_missing(f"language_model: {folder}", (name for name in missing if name.startswith(inside)))
    return model, tokenizer, not missing


@contextmanager
def read_once() -> Iterator[None]:
    """Within it, transformers reads a GGUF file once, not for the tokenizer, for the configuration and for the weights.

    Of SmolLM2-135M each time takes 3.7 seconds of a core, most of them for its vocabulary, entry by entry in Python. The table
    of tensor names, which it makes anew for every module, is made once, too.
    """
    import gguf  # not needed by models in folders
    from transformers import modeling_gguf_pytorch_utils as loading

    load = loading.load_gguf_checkpoint
    configs: dict[str, dict[str, Any]] = {}

    def load_once(path: Any, *, return_tensors: bool = False, **options: Any) -> dict[str, Any]:
        if return_tensors:
            return load(path, return_tensors=True, **options)
        if str(path) not in configs:
            configs[str(path)] = load(path, **options)["config"]
        # It is all that is read of an answer without tensors, and who reads it may change it.
        return {"config": copy.deepcopy(configs[str(path)])}

    readers = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    try:
        for name, reader in readers.items():
            setattr(gguf, name, cache(reader))
        loading.load_gguf_checkpoint = load_once
        yield
    finally:
        for name, reader in readers.items():
            setattr(gguf, name, reader)
        loading.load_gguf_checkpoint = load


def read_encoder(folder: Path, dtype: torch.dtype) -> LanguageModel:
    """The encoder of a Hugging Face folder, with its tokenizer's special tokens."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model, info = AutoModel.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    # A pooler is a head for classification; a masked language model is saved without it and nothing here uses it.
    missing = (name for name in map(str, info["missing_keys"]) if "pooler" not in name)
    refuse_missing(f"language_model: {folder}", missing)
    reading = Reading(special_tokens=True)
    return LanguageModel(model, tokenizer, reading, is_encoder=True, has_output_layer=False)


def read_sentence_encoder(package: str, dtype: torch.dtype) -> LanguageModel:
    """The encoder that a package carries in the Hugging Face layout (config.json, model.safetensors, tokenizer files).

    Sentence encoders are trained for the mean of their states, which is used whatever a recipe's `pooling` is.
    """
    folder = file_in_package(package, "model.safetensors", "a sentence encoder").parent
    encoder = read_encoder(folder, dtype)
    encoder.pooling = "mean"
    return encoder


def _with(language_model: LanguageModel, reading: Reading) -> LanguageModel:
    language_model.reading = reading
    return language_model
