"""The text tower of a two-tower checkpoint as a teacher: against its own library, across layouts, beside a language model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_text_stages import prepare_config
from torch.nn import functional as F
from transformers import SiglipConfig, SiglipModel, T5Tokenizer

from data.features import features_of_set
from published_clip import text_vectors, write_clip
from support import TINY_VISION, draw_images, run_stage, tiny_clip, tiny_language_model, write_job
from towers.teachers import read_teacher, teacher_files, text_features
from towers.text.checkpoint import checkpoint_vectors, read_checkpoint_text
from towers.text.wrong_captions import wrong_captions
from towers.two_towers import Adapter

TEXTS = ["a dog runs", "A  MAN and two dogs, 27 of them!", "", "two dogs and a man . " * 60]
CPU = torch.device("cpu")


def test_a_folder_of_transformers_gives_the_vectors_of_clip(tmp_path):
    model = write_clip(tmp_path)
    torch.testing.assert_close(checkpoint_vectors(str(tmp_path), TEXTS, CPU), text_vectors(model, TEXTS))


def test_open_clip_by_name_and_by_folder_gives_its_own_vectors(tmp_path):
    name = tiny_clip(tmp_path, TINY_VISION)
    model: Any = open_clip.create_model(name.removeprefix("open_clip:")).eval()
    with torch.no_grad():
        tokenizer = open_clip.get_tokenizer(name.removeprefix("open_clip:"))
        expected = model.encode_text(tokenizer(TEXTS), normalize=True)
    for source in (name, str(tmp_path)):
        torch.testing.assert_close(checkpoint_vectors(source, TEXTS, CPU), expected)


def test_the_same_weights_give_the_same_vectors_in_both_layouts(tmp_path):
    theirs = write_clip(tmp_path / "hf")
    name = tiny_clip(tmp_path / "open", TINY_VISION, embed_dim=24)
    config = json.loads((tmp_path / "open" / "open_clip_config.json").read_text())
    config["model_cfg"] |= {"quick_gelu": True}
    config["model_cfg"]["text_cfg"] = {
        "context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 3, "mlp_ratio": 3,
    }  # fmt: skip
    (tmp_path / "open" / "open_clip_config.json").write_text(json.dumps(config))
    model: Any = open_clip.create_model(name.removeprefix("open_clip:"), load_weights=False)
    text, weights = theirs.text_model, model.state_dict()
    weights["token_embedding.weight"] = text.embeddings.token_embedding.weight
    weights["positional_embedding"] = text.embeddings.position_embedding.weight
    weights["text_projection"] = theirs.text_projection.weight.T.contiguous()
    for kind in ("weight", "bias"):
        weights[f"ln_final.{kind}"] = getattr(text.final_layer_norm, kind)
        for number, layer in enumerate(text.encoder.layers):
            block, attention = f"transformer.resblocks.{number}", layer.self_attn
            parts = [getattr(part, kind) for part in (attention.q_proj, attention.k_proj, attention.v_proj)]
            weights[f"{block}.attn.in_proj_{kind}"] = torch.cat(parts)
            weights[f"{block}.attn.out_proj.{kind}"] = getattr(attention.out_proj, kind)
            for ours, part in {
                "ln_1": layer.layer_norm1, "ln_2": layer.layer_norm2, "mlp.c_fc": layer.mlp.fc1, "mlp.c_proj": layer.mlp.fc2,
            }.items():  # fmt: skip
                weights[f"{block}.{ours}.{kind}"] = getattr(part, kind)
    save_file({k: v.contiguous() for k, v in weights.items()}, tmp_path / "open" / "open_clip_model.safetensors")
    found = [checkpoint_vectors(str(tmp_path / folder), TEXTS, CPU) for folder in ("hf", "open")]
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)


def write_siglip(folder: Path) -> tuple[Any, Any]:
    """A tiny SigLIP in transformers' layout, with a byte-level SentencePiece-like tokenizer."""
    torch.manual_seed(0)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0), *((chr(c), -2.0) for c in range(97, 123))]
    tokenizer: Any = T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=16)
    tokenizer.save_pretrained(folder)
    text = {
        "vocab_size": len(pieces), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 16, "projection_size": 16,
    }  # fmt: skip
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
    }
    model: Any = SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).eval()
    model.save_pretrained(folder)
    return model, tokenizer


def test_a_siglip_sees_its_padding_as_it_was_trained(tmp_path):
    model, tokenizer = write_siglip(tmp_path)
    texts = ["a dog runs", "abc"]
    with torch.no_grad():
        ids = tokenizer(texts, padding="max_length", max_length=16, truncation=True, return_tensors="pt")["input_ids"]
        whole = F.normalize(model.get_text_features(input_ids=ids).pooler_output, dim=-1)
        short = tokenizer(texts, padding=True, return_tensors="pt")["input_ids"]
        cut = F.normalize(model.get_text_features(input_ids=short).pooler_output, dim=-1)
    found = checkpoint_vectors(str(tmp_path), texts, CPU)
    torch.testing.assert_close(found, whole)
    assert (found - cut).abs().max() > 1e-3


def test_what_has_no_text_tower_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder with open_clip_config\.json"):
        read_checkpoint_text(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match="a model of type vit; of transformers' layouts clip, siglip, siglip2"):
        read_checkpoint_text(str(tmp_path))


def test_a_tower_that_lacks_weights_is_refused(tmp_path):
    write_clip(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["text_model.final_layer_norm.bias"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks 1 tensors of its architecture, such as text_model\.final_layer_norm"):
        read_checkpoint_text(str(tmp_path))


def test_embed_captions_puts_the_checkpoints_vectors_behind_the_language_models(tmp_path):
    clip = write_clip(tmp_path / "clip")
    draw_images(tmp_path / "data", 6)
    pairs = [{"split": "train", "format": "folder", "path": "."}]
    prepare = write_job(tmp_path, "prepare", {"data": tmp_path / "data"}, prepare_config(pairs, fragments=0))
    run_stage(prepare)
    file = prepare.parent / "shards.json"
    manifest = json.loads(file.read_text())
    manifest["shards"] += [{**shard, "split": "dev"} for shard in manifest["shards"] if shard["kind"] == "pairs"]
    file.write_text(json.dumps(manifest))
    model = {"source": "directory", "name": str(tiny_language_model(tmp_path / "lm"))}
    teachers: list[Any] = [
        {"type": "language_model", "language_model": model},
        {"type": "clip_text", "checkpoint": str(tmp_path / "clip")},
    ]
    config = {
        "teachers": teachers,
        "pooling": "mean",
        "packing": True,
        "max_tokens": 32,
        "batch_tokens": 160,
        "shard_size": 5,
        "limits": {"groups": 0, "long": 0, "translations": 0, "fragments": 0, "concepts": 0},
        "concept_texts": {"templates": [], "synonyms": 0, "gloss": False, "hypernyms": 0, "descriptions": 0},
        "prompt_templates": [],
        "hard_negatives": 2,
    }
    embed = write_job(tmp_path, "embed_captions", {"prepare": prepare.parent}, config)
    run_stage(embed)
    rows = [json.loads(line) for line in (embed.parent / "captions.pairs.train.jsonl").read_text().splitlines()]
    texts = [row["text"] for row in rows]
    features = features_of_set(embed.parent, "pairs.train").gather_numbers(np.arange(len(texts)))
    assert features.shape == (len(texts), 32 + 24)
    expected = text_vectors(clip, texts)
    torch.testing.assert_close(features[:, 32:], expected, atol=4e-3, rtol=0)  # bfloat16
    wrong = [json.loads(line) for line in (embed.parent / "captions.negatives.train.jsonl").read_text().splitlines()]
    assert [row["text"] for row in wrong] == [text for caption in texts for text in wrong_captions(caption, 2)]
    embedded = features_of_set(embed.parent, "negatives.train").gather_numbers(np.arange(len(wrong)))
    torch.testing.assert_close(embedded[:, 32:], text_vectors(clip, [row["text"] for row in wrong]), atol=4e-3, rtol=0)
    own = text_features(read_teacher(teachers[0], None, torch.float32), texts, json.loads(embed.read_text())["config"])
    torch.testing.assert_close(features[:, :32], own.float(), atol=4e-3, rtol=0)
    assert [file.name for file in teacher_files(teachers[1], None)] == ["model.safetensors"]


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_the_average_is_that_of_unit_vectors_and_turns_with_the_space(share):
    torch.manual_seed(0)
    plain = Adapter(10, 6, 2, 2).eval()
    averaged = Adapter(16, 6, 2, 2, own_text_share=share).eval()
    averaged.load_state_dict(plain.state_dict() | {"own_axes_EE": torch.eye(6)})
    language, own = torch.randn(5, 10), F.normalize(torch.randn(5, 6), dim=-1)
    with torch.no_grad():
        expected = F.normalize((1 - share) * plain(language) + share * own, dim=-1)
        found = averaged(torch.cat([language, own], 1))
        torch.testing.assert_close(found, expected)
        rotation = torch.linalg.qr(torch.randn(6, 6)).Q
        averaged.projection.weight.copy_(rotation @ averaged.projection.weight)
        averaged.projection.bias.copy_(rotation @ averaged.projection.bias)
        averaged.turn(rotation)
        torch.testing.assert_close(averaged(torch.cat([language, own], 1)), expected @ rotation.T)
    assert "own_axes_EE" not in dict(averaged.named_parameters())  # CLIP's projection is kept, not trained


def test_an_average_without_another_teacher_is_refused():
    with pytest.raises(ValueError, match="needs a teacher before clip_text"):
        Adapter(6, 6, 1, 2, own_text_share=0.5)
