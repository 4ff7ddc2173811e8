"""Texts on their way into a language model: template, first token, padding token, cut; and LLM2CLIP's released teacher."""

import json
from itertools import chain
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from language.families import DECODERS, save_tokenizer, source, write_checkpoint
from language.llm2vec import WRAPPER, encoded_by_the_authors
from transformers import AutoTokenizer, LlamaConfig, LlamaModel

from stages.embed_captions import read_teachers
from tasks.mntp import refuse_without_output
from towers.language.pool import pool
from towers.language.read import language_model_in, read_language_model
from towers.language.tokens import Reading, padding_id, text_tokens
from towers.teachers import text_features

TEXTS = ["two blue squares beside the red circle", "a line ", "", "the field is plain and there is not a red circle"]


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("llama"), DECODERS["llama3"], adds_bos=True)


def test_a_released_llm2clip_teacher_gives_what_its_authors_code_gives(tmp_path):
    """The public layout: the stack of blocks without an output layer, remote code named in the configuration."""
    size = save_tokenizer(tmp_path, has_pad=False, adds_bos=True)
    torch.manual_seed(0)
    options = DECODERS["llama3"].options
    reference = LlamaModel(LlamaConfig(vocab_size=size, bos_token_id=1, eos_token_id=0, **options)).eval()
    reference.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {
        "_name_or_path": "microsoft/LLM2CLIP-Llama-3-8B-Instruct-CC-Finetuned",
        "architectures": ["LlamaEncoderModel"],
        "auto_map": {"AutoModel": "modeling_llama_encoder.LlamaEncoderModel"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    # The folder brings the code that its configuration names: nothing may run it.
    (tmp_path / "modeling_llama_encoder.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    reference.config.is_causal = False
    expected = encoded_by_the_authors(tmp_path, reference, TEXTS, 512)
    teacher = read_language_model(source(tmp_path, template=WRAPPER, add_bos=True), torch.float32)
    found = teacher.features(teacher.tokens(TEXTS, 512), "mean")
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert not (tmp_path / "ran").exists()
    plain = read_language_model(source(tmp_path), torch.float32)
    assert (plain.features(plain.tokens(TEXTS, 512), "mean") - expected).abs().max() > 1e-2
    with pytest.raises(ValueError, match=r"saved without its output layer.*contrastive.language_model"):
        refuse_without_output(teacher)


def test_a_finished_text_encoder_enters_where_captions_are_embedded_without_a_stage_before(llama):
    config = {"teachers": [{"type": "language_model", "language_model": source(llama, template=WRAPPER, add_bos=True)}]}
    run: Any = SimpleNamespace(config=config, job={"inputs": {}}, amp_dtype=torch.float32, device=torch.device("cpu"))
    teacher: Any
    (teacher,) = read_teachers(run)
    assert teacher.reading == Reading(WRAPPER, add_bos=True) and not teacher.model.training
    settings: Any = {"max_tokens": 64, "batch_tokens": 40, "pooling": "mean"}
    features = text_features(teacher, TEXTS, settings)
    expected = torch.nn.functional.normalize(teacher.features(teacher.tokens(TEXTS, 64), "mean"), dim=-1)
    torch.testing.assert_close(features.float(), expected, atol=1e-2, rtol=0)
    settings["packing"] = True
    packed = text_features(teacher, TEXTS, settings)
    torch.testing.assert_close(packed.float(), expected, atol=1e-2, rtol=0)


def test_the_way_of_reading_is_saved_with_a_model_and_found_by_the_next_stage(llama, tmp_path):
    read_language_model(source(llama, template=WRAPPER, add_bos=True), torch.float32).save(tmp_path / "model")
    again = read_language_model(language_model_in(tmp_path / "model"), torch.float32)
    assert again.reading == Reading(WRAPPER, add_bos=True)
    read_language_model(source(llama), torch.float32).save(tmp_path / "plain")
    assert language_model_in(tmp_path / "plain") == source(tmp_path / "plain")


def test_a_first_token_and_a_template_are_read_and_only_what_follows_them_is_pooled(llama):
    tokenizer = AutoTokenizer.from_pretrained(llama)
    (bare,) = text_tokens(tokenizer, Reading(), ["a red circle"], 64)
    (first,) = text_tokens(tokenizer, Reading(add_bos=True), ["a red circle"], 64)
    (wrapped,) = text_tokens(tokenizer, Reading(WRAPPER, add_bos=True), ["a red circle"], 64)
    assert bare.ids == tokenizer("a red circle", add_special_tokens=False)["input_ids"] and bare.skip == 0
    assert first.ids == [tokenizer.bos_token_id, *bare.ids] and first.skip == 1
    assert wrapped.ids[wrapped.skip :] == [*bare.ids, tokenizer.convert_tokens_to_ids("<|eot_id|>")]
    assert wrapped.ids == tokenizer(WRAPPER.replace("{}", "a red circle"))["input_ids"]


def test_an_empty_text_is_one_token_and_a_long_one_is_cut_at_the_end(llama):
    model = read_language_model(source(llama), torch.float32)
    empty, long = model.tokens(["", "a red circle " * 50], 7)
    assert empty.ids == [model.tokenizer.eos_token_id]
    assert long.ids == model.tokens(["a red circle " * 50], 10_000)[0].ids[:7]
    wrapped = read_language_model(source(llama, template="{}", add_bos=True), torch.float32)
    (row,) = wrapped.tokens([""], 7)
    assert row.ids == [model.tokenizer.bos_token_id, model.tokenizer.eos_token_id] and row.skip == 1
    assert len(wrapped.tokens(["a red circle " * 50], 7)[0]) == 7
    with pytest.raises(ValueError, match="max_tokens is 1, but the first token and the template before a text are 1"):
        wrapped.tokens(["a"], 1)


def test_windows_of_documents_start_with_the_first_token_and_lose_no_other(llama):
    document = "a red circle on a plain field " * 6
    bare = read_language_model(source(llama), torch.float32)
    ids = bare.tokenizer(document, add_special_tokens=False)["input_ids"]
    windows = list(bare.windows([document], 16))
    assert (
        list(chain.from_iterable(windows)) == ids[: len(ids) // 16 * 16 + (len(ids) % 16 if len(ids) % 16 >= 8 else 0)]
    )
    with_bos = list(read_language_model(source(llama, add_bos=True), torch.float32).windows([document], 16))
    assert {len(window) for window in with_bos[:-1]} == {16} and {window[0] for window in with_bos} == {1}
    assert list(chain.from_iterable(window[1:] for window in with_bos))[:45] == ids[:45]


def test_padding_falls_back_to_the_end_token_where_there_is_none_or_it_has_no_embedding(llama):
    tokenizer = AutoTokenizer.from_pretrained(llama)
    assert tokenizer.pad_token_id is None
    assert padding_id(tokenizer, 300) == tokenizer.eos_token_id
    tokenizer.pad_token_id = 299
    assert padding_id(tokenizer, 300) == 299
    assert padding_id(tokenizer, 299) == tokenizer.eos_token_id


def test_pooling_is_the_mean_of_the_counted_tokens_the_weighted_mean_the_first_or_the_last_of_them():
    hidden = torch.tensor([[[7.0, 7.0], [1.0, 0.0], [3.0, 3.0], [100.0, 100.0]]])
    counted = torch.tensor([[0, 1, 1, 0]])
    assert pool(hidden, counted, "mean").tolist() == [[2.0, 1.5]]
    torch.testing.assert_close(pool(hidden, counted, "weighted_mean"), torch.tensor([[7 / 3, 2.0]]))
    assert pool(hidden, counted, "last_token").tolist() == [[3.0, 3.0]]
    assert pool(hidden, counted, "first_token").tolist() == [[7.0, 7.0]]
    with pytest.raises(ValueError, match="pooling 'max' is none of"):
        pool(hidden, counted, "max")


def test_what_cannot_be_read_is_refused_in_a_sentence(llama, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"language_model.name: there is no folder or file"):
        read_language_model(source(tmp_path / "nowhere"), torch.float32)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(ValueError, match="t5 has an encoder and a decoder"):
        read_language_model(source(tmp_path), torch.float32)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(ValueError, match="holds vit, which is neither"):
        read_language_model(source(tmp_path), torch.float32)


def test_a_first_token_that_a_vocabulary_does_not_have_is_an_error(tmp_path):
    folder = write_checkpoint(tmp_path, DECODERS["qwen2"])
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("bos_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=r"language_model.add_bos: this tokenizer has no first token"):
        read_language_model(source(folder, add_bos=True), torch.float32)
