"""The text student: its vocabulary, its losses, the arithmetic that is served, and the graph that computes the same."""

import math
import statistics
from collections import Counter
from typing import cast

import numpy as np
import onnxruntime
import pytest
import torch
from tokenizers import models
from torch.nn import functional as F

import towers.torchvision_shim  # noqa: F401  (before transformers and the ONNX exporter)
from contracts.types import ModelManifestText, PreprocessRecipe
from towers.calibration import LEVELS, fit_logistic, random_negative_pairs, score_distribution, score_distributions
from towers.graph_partition import partition_student
from towers.onnx_export import (
    embed_static,
    export_image_tower,
    export_student,
    read_table,
    space_id,
    write_table,
)
from towers.served_text import ServedText
from towers.student.files import load_student, save_student
from towers.student.init_from_bert import (
    english_pieces,
    init_from_folder,
    rows_by_meaning,
    spaced_layers,
    spelled,
    table_of,
)
from towers.student.losses import contradiction_loss, distill_loss, image_loss, matryoshka
from towers.student.model import StaticStudent, StudentShape, TextStudent
from towers.student.rounding import quantize_rows
from towers.student.start import left_of
from towers.token_batches import batches_by_length, padded
from towers.wordpiece import (
    CLS,
    SEP,
    SPECIAL_TOKENS,
    UNK,
    WordPiece,
    bert_like,
    characters,
    mixed,
    train_vocabulary,
    with_special_tokens,
)

CAPTIONS = [
    f"A {colour} {thing} {verb} on the {place} ."
    for colour in ("red", "green", "blue")
    for thing in ("dog", "child", "bicycle")
    for verb in ("runs", "sleeps", "jumps")
    for place in ("beach", "street", "grass")
]
GERMAN = ["Ein Hund läuft über die Straße .", "Zwei Mädchen spielen im grünen Gras ."] * 10


@pytest.fixture(scope="module")
def wordpiece():
    return train_vocabulary([*CAPTIONS, *GERMAN], 300)


@pytest.fixture(scope="module")
def student(wordpiece):
    torch.manual_seed(0)
    made = TextStudent(StudentShape(len(wordpiece.pieces), 2, 32, 4, 64, 16, [16, 8]))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2) if parameter.ndim > 1 else None
    return made.eval()


# ---- vocabulary ----------------------------------------------------------------------------------


def test_the_special_tokens_come_first_and_the_size_is_kept(wordpiece):
    assert wordpiece.pieces[:5] == SPECIAL_TOKENS == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(set(wordpiece.pieces)) == len(wordpiece.pieces) <= 300


def test_every_training_text_and_every_printable_ascii_character_has_pieces(wordpiece):
    texts = [*CAPTIONS, *GERMAN, *(chr(code) for code in range(0x21, 0x7F))]
    assert not any(UNK in ids for ids in wordpiece.tokens(texts))


def test_a_character_without_a_piece_is_spelled_by_the_bytes_of_its_utf8():
    spelling = WordPiece([*SPECIAL_TOKENS, *(f"<0x{byte:02X}>" for byte in range(256)), "dog"])
    assert spelling.tokens(["dog 漢"]) == [[261, 5 + 0xE6, 5 + 0xBC, 5 + 0xA2]]
    assert WordPiece([*SPECIAL_TOKENS, "dog"]).tokens(["dog 漢"]) == [[5, UNK]]


def test_half_of_a_surrogate_pair_is_the_replacement_character(wordpiece):
    """As `toWellFormed` of ECMAScript has it, which the API reads texts by; two halves that belong together are one emoji."""
    broken, whole = ["dog \ud83d runs", "\udc15", "dog \ud83d\udc15"], ["dog \ufffd runs", "\ufffd", "dog \U0001f415"]
    spelling = WordPiece([*SPECIAL_TOKENS, *(f"<0x{byte:02X}>" for byte in range(256)), "dog"])
    for vocabulary in (wordpiece, spelling):
        assert vocabulary.encode(broken, 20) == vocabulary.encode(whole, 20)
    assert train_vocabulary([*CAPTIONS, *broken], 300).pieces == train_vocabulary([*CAPTIONS, *whole], 300).pieces


def test_the_name_of_a_special_token_in_a_text_is_not_the_token(wordpiece):
    assert CLS not in wordpiece.tokens(["[CLS] dog"])[0]


def test_a_long_text_keeps_its_start_and_both_special_tokens(wordpiece):
    whole = wordpiece.tokens([" ".join(CAPTIONS)])[0]
    assert wordpiece.encode([" ".join(CAPTIONS)], 10) == [[CLS, *whole[:8], SEP]]
    assert wordpiece.encode([""], 10) == [[CLS, SEP]]


def test_a_vocabulary_file_gives_the_same_ids_and_training_is_repeatable(wordpiece, tmp_path):
    wordpiece.write(tmp_path / "vocabulary.txt")
    assert (tmp_path / "vocabulary.txt").read_text().splitlines() == wordpiece.pieces
    assert WordPiece.read(tmp_path / "vocabulary.txt").tokens(CAPTIONS) == wordpiece.tokens(CAPTIONS)
    assert train_vocabulary([*CAPTIONS, *GERMAN], 300).pieces == wordpiece.pieces


def test_the_characters_of_texts_are_those_of_the_normalised_texts():
    tokenizer = bert_like(models.WordPiece(unk_token="[UNK]"), symbols_apart=True)
    texts = [*CAPTIONS, *GERMAN, "ΟΔΥΣΣΕΥΣ", "İstanbul", "한국어", "東京 – 塔", "e\u0301\u0323 o\u0323\u0301", "\u0301", "Ǆ ﬁ ẞ",
             "\tzero\u200bwidth\u0000 \u00a0", "🦊👍🏽", "हिन्दी", "العَرَبِيَّة"]  # fmt: skip
    texts += ["".join(map(chr, range(start, start + 512))) for start in (0x80, 0x280, 0x1E00, 0x2F00, 0xF900, 0x1D400)]
    whole = Counter("".join(tokenizer.normalizer.normalize_str(text) for text in texts))
    del whole[" "]
    assert characters(texts, tokenizer) == whole


def test_a_short_source_is_repeated_to_its_share():
    drawn = list(mixed({"long": (["x" * 9] * 1000, 1.0), "short": (["y" * 9], 1.0), "none": ([], 5.0)}, 2000))
    assert drawn.count("x" * 9) == drawn.count("y" * 9) == 100


# ---- losses --------------------------------------------------------------------------------------


def test_matryoshka_is_the_mean_over_normalised_prefixes():
    a, b = torch.tensor([[3.0, 4.0, 0.0, 12.0]]) / 13, torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    cosine = matryoshka(lambda x, y: (x * y).sum(-1).mean(), [4, 2, 1])
    assert cosine(a, b).item() == pytest.approx((3 / 13 + 3 / 5 + 1) / 3, abs=1e-6)


def test_a_student_that_equals_its_teacher_has_no_loss_and_no_gradient():
    targets = F.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    embedded = targets.clone().requires_grad_()
    loss = distill_loss(F.normalize(embedded, dim=-1), targets, 1.0, 0.1)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert embedded.grad is not None and embedded.grad.abs().max() < 1e-6


def test_the_contrastive_term_of_two_swapped_orthogonal_targets_is_its_closed_form():
    targets = torch.eye(2)
    # The teacher gives (p, 1 - p), the student the reverse: KL = (2p - 1) log(p / (1 - p)), where the log is 1 / t.
    p = 1 / (1 + math.exp(-1 / 0.5))
    expected = 1 + 0.3 * (2 * p - 1) / 0.5
    assert distill_loss(targets.flip(0), targets, 0.3, 0.5).item() == pytest.approx(expected, abs=1e-5)


def test_batches_of_like_length_hold_every_text_once_and_keep_the_limit():
    lengths = [3, 50, 7, 7, 1, 20, 70]
    batches = batches_by_length(lengths, 60)
    assert sorted(index for batch in batches for index in batch) == list(range(7))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 60 for batch in batches)


# ---- the student ---------------------------------------------------------------------------------


def test_padding_changes_no_vector(student, wordpiece):
    ids = wordpiece.encode([CAPTIONS[0], "dog", " ".join(CAPTIONS[:5])], 64)
    together = student(*padded(ids, torch.device("cpu")))
    alone = torch.cat([student(*padded([row], torch.device("cpu"))) for row in ids])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(student.embed(ids, batch_tokens=30), alone, atol=1e-5, rtol=0)


def test_a_saved_student_is_the_same_student(student, wordpiece, tmp_path):
    save_student(tmp_path, student, wordpiece)
    loaded, vocabulary = load_student(tmp_path)
    ids = vocabulary.encode(CAPTIONS[:4], 64)
    assert loaded.shape == student.shape
    torch.testing.assert_close(loaded.embed(ids), student.embed(ids))


def test_the_start_from_bert_computes_what_bert_computes(tmp_path):
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    vocabulary = [*SPECIAL_TOKENS, "dog", "run", "##s", "the", "r", "##u", "##n", "##d", "##o", "##g", "d"]
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=64, hidden_dropout_prob=0, attention_probs_dropout_prob=0,
    )  # fmt: skip
    bert = BertModel(config, add_pooling_layer=False).eval()
    for parameter in bert.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    bert.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    student = TextStudent(StudentShape(len(vocabulary), 2, 32, 4, 64, 16)).eval()
    init_from_folder(student, WordPiece(vocabulary), tmp_path)
    ids, mask = padded([[CLS, 5, 6, 7, SEP], [CLS, 8, SEP]], torch.device("cpu"))
    with torch.no_grad():
        hidden = bert(input_ids=ids, attention_mask=mask).last_hidden_state
        expected = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        torch.testing.assert_close(student.pooled(student.table(ids), mask), expected, atol=1e-4, rtol=1e-4)


def test_a_piece_of_another_language_starts_as_the_pieces_of_its_meaning():
    pieces = [*SPECIAL_TOKENS, "dog", "cat", "hund", "犬"]
    rows = torch.tensor([[3.0, 3.0]] * 5 + [[1.0, 0.0], [0.0, 1.0], [5.0, 5.0], [7.0, 7.0]])
    meanings = torch.tensor([[1.0, 0.0]] * 5 + [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.7071, 0.7071]])
    known = english_pieces(pieces, [*SPECIAL_TOKENS, "dog", "cat", "犬"])
    assert known.tolist() == [True] * 7 + [False, False]
    found = rows_by_meaning(rows, known, meanings)
    torch.testing.assert_close(found[:7], rows[:7])
    torch.testing.assert_close(found[7], rows[5], atol=1e-6, rtol=0)
    torch.testing.assert_close(found[8], torch.tensor([0.5, 0.5]))


def test_a_new_piece_is_spelled_with_the_longest_known_pieces():
    ids = {"[UNK]": 0, "bi": 1, "##cycle": 2, "##c": 3, "##bi": 4}
    assert spelled("bicycle", ids) == [1, 2]
    assert spelled("##bic", ids) == [4, 3]
    assert spelled("xyz", ids) == [0]


# ---- what is served ------------------------------------------------------------------------------


def test_a_table_comes_back_within_half_a_step_and_its_size_is_checked(tmp_path):
    rows = torch.randn(20, 12, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 3, 20)[:, None]
    rows[7] = 0
    write_table(rows, tmp_path / "table.bin")
    assert (tmp_path / "table.bin").stat().st_size == 20 * 12 + 20 * 4
    back = read_table(tmp_path / "table.bin", 20, 12)
    assert (np.abs(back - rows.numpy()) <= rows.abs().amax(1, keepdim=True).numpy() / 254 * 1.001).all()
    assert quantize_rows(rows)[0].abs().amax(1).tolist() == [127] * 7 + [0] + [127] * 12
    with pytest.raises(ValueError, match="21 rows"):
        read_table(tmp_path / "table.bin", 21, 12)


def manifest_text(student, folder, rows=None) -> ModelManifestText:
    """What reading the exported student needs of a manifest; with `rows`, its partition."""
    shape = student.shape
    table = {"file": {"path": "text.table.bin"}, "rows": shape.vocabulary_size, "width": shape.width}
    text = {"table": table, "graph": {"file": {"path": "text.onnx"}}}
    return cast(ModelManifestText, text if rows is None else text | {"partition": partition_student(folder, rows)})


def test_the_exported_graph_computes_the_students_vectors(student, wordpiece, tmp_path):
    export_student(student, tmp_path, 20)
    write_table(student.table.weight, tmp_path / "text.table.bin")
    served = ServedText(tmp_path, manifest_text(student, tmp_path))
    ids = wordpiece.encode([*CAPTIONS[::9], *GERMAN[:2], "dog", " ".join(CAPTIONS[:6])], 64)
    embedded = torch.from_numpy(served.embed(ids))
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(len(ids)), atol=1e-5, rtol=0)
    assert (embedded * student.embed(ids)).sum(1).min() > 0.98
    # Under the imitated rounding the two agree closely: training sees what will be served.
    student.fake_quantize(enabled=True)
    with torch.no_grad():
        imitated = torch.cat([student(*padded([row], torch.device("cpu"))) for row in ids])
    student.fake_quantize(enabled=False)
    assert (embedded * imitated).sum(1).min() > 0.998


def test_a_partition_computes_a_text_of_one_chunk_up_to_rounding_and_a_longer_one_closely(student, wordpiece, tmp_path):
    export_student(student, tmp_path, 20)
    write_table(student.table.weight, tmp_path / "text.table.bin")
    whole = ServedText(tmp_path, manifest_text(student, tmp_path))
    in_parts = ServedText(tmp_path, manifest_text(student, tmp_path, rows=12))
    ids = wordpiece.encode([*CAPTIONS[::9], "dog", " ".join(CAPTIONS[:6])], 64)
    short, long = [row for row in ids if len(row) <= 12], [row for row in ids if len(row) > 12]
    assert len(short) > 3
    assert max(map(len, long)) > 3 * 12
    np.testing.assert_allclose(in_parts.embed(short), whole.embed(short), atol=1e-6)
    embedded = torch.from_numpy(in_parts.embed(long))
    assert (embedded * student.embed(long)).sum(1).min() > 0.98
    # Rows of later chunks have their own positions and see all rows of the chunks before and after them.
    turned = in_parts.embed([list(reversed(row)) for row in long])
    assert (embedded.numpy() * turned).sum(1).max() < 0.9999


def test_the_exported_graph_ignores_padding_and_keeps_its_weights_outside(student, wordpiece, tmp_path):
    export_student(student, tmp_path, 20)
    assert (tmp_path / "text.onnx").stat().st_size < 20_000
    graph = onnxruntime.InferenceSession(str(tmp_path / "text.onnx"))
    rows = student.table(torch.tensor([wordpiece.encode(["a red dog"], 64)[0]])).detach().numpy()
    length = rows.shape[1]
    mask = (np.arange(length + 5) < length).astype(np.int64)[None]
    padded_rows = np.pad(rows, ((0, 0), (0, 5), (0, 0)))
    padded_vector = np.asarray(graph.run(None, {"inputs_embeds": padded_rows, "attention_mask": mask})[0])
    alone = np.asarray(graph.run(None, {"inputs_embeds": rows, "attention_mask": np.ones((1, length), np.int64)})[0])
    assert (padded_vector * alone).sum() > 0.999


def test_static_vectors_are_normalised_means_of_known_tokens_and_none_gives_zeros():
    rows = torch.tensor([[1.0, 0.0], [9.0, 9.0], [3.0, 0.0], [0.0, 1.0]])
    expected = [[1.0, 0.0], [3 / math.sqrt(10), 1 / math.sqrt(10)], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    ids = [[0, 2], [3, 2], [UNK, 3, UNK], [UNK], []]
    np.testing.assert_allclose(StaticStudent(rows)(ids).detach().numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(embed_static(rows.numpy(), ids), expected, atol=1e-6)


@pytest.mark.parametrize("weights", ["float16", "int8"])
def test_an_image_tower_with_narrow_weights_computes_in_float32(weights, tmp_path):
    class Tower(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = torch.nn.Conv2d(3, 8, 3, 2)
            self.norm = torch.nn.BatchNorm2d(8)
            self.projection = torch.nn.Linear(8, 16)

        def forward(self, pixels):
            return F.normalize(self.projection(self.norm(self.convolution(pixels)).relu().mean((2, 3))), dim=-1)

    torch.manual_seed(0)
    tower = Tower().eval()
    export_image_tower(tower, 16, tmp_path / "image.onnx", 20, weights)
    pixels = torch.randn(3, 3, 16, 16)
    graph = onnxruntime.InferenceSession(str(tmp_path / "image.onnx"))
    embedded = graph.run(["embedding"], {"pixels": pixels.numpy()})[0]
    with torch.no_grad():
        assert (torch.from_numpy(embedded) * tower(pixels)).sum(1).min() > 0.9995


def test_a_space_is_named_by_graph_preprocessing_and_dimension(tmp_path):
    (tmp_path / "a").write_bytes(b"graph")
    (tmp_path / "b").write_bytes(b"other")
    recipe: PreprocessRecipe = {
        "resize_mode": "shortest", "size": 224, "interpolation": "bicubic", "crop": "center",
        "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "color": "rgb",
    }  # fmt: skip
    reordered = cast(PreprocessRecipe, dict(reversed(recipe.items())))
    smaller: PreprocessRecipe = {**recipe, "size": 192}
    name = space_id(tmp_path / "a", recipe, 512)
    assert name == space_id(tmp_path / "a", reordered, 512)
    others = [space_id(tmp_path / "b", recipe, 512), space_id(tmp_path / "a", smaller, 512)]
    assert len({name, *others, space_id(tmp_path / "a", recipe, 256)}) == 4
    assert name.startswith("sha256:") and len(name) == 71


# ---- calibration ---------------------------------------------------------------------------------


def test_the_logistic_fit_of_two_equal_gaussians_is_their_log_odds():
    # N(m1, s) against N(m0, s): log odds are linear, scale (m1 - m0) / s^2 and bias (m0^2 - m1^2) / (2 s^2)
    rng = np.random.default_rng(0)
    scale, bias = fit_logistic(rng.normal(0.3, 0.1, 40_000), rng.normal(0.1, 0.1, 40_000))
    assert scale == pytest.approx(20, rel=0.03)
    assert bias == pytest.approx(-4, rel=0.03)


def test_a_separable_fit_stays_finite_and_orders_the_classes():
    scale, bias = fit_logistic(np.full(10, 0.9), np.full(1000, 0.1))
    assert math.isfinite(scale) and scale > 0
    assert 1 / (1 + math.exp(-(scale * 0.9 + bias))) > 0.9


def test_strangers_never_share_an_image():
    groups = np.repeat(np.arange(4), 5)
    a, b = random_negative_pairs(500, groups, np.random.default_rng(0))
    assert len(a) == 500 and (groups[a] != groups[b]).all()
    with pytest.raises(ValueError, match="two different images"):
        random_negative_pairs(3, np.zeros(5), np.random.default_rng(0))


def test_a_likelihood_ratio_is_that_of_the_densities_and_never_falls():
    rng = np.random.default_rng(0)
    found = score_distribution(rng.normal(0.3, 0.1, 20_000), rng.normal(0.1, 0.1, 200_000))
    cosines, ratios = np.array(found["cosines"]), np.array(found["log_ratios"])
    assert (np.diff(cosines) > 0).all() and (np.diff(ratios) > 0).all()
    inside = (cosines > 0) & (cosines < 0.4)
    assert inside.sum() > 10
    # The logarithm of the quotient of these two normal densities.
    np.testing.assert_allclose(ratios[inside], 20 * cosines[inside] - 4, atol=0.25)
    np.testing.assert_allclose(found["random"][1:-2], 0.1 + 0.1 * np.array(NORMAL[1:-2]), atol=0.02)


NORMAL = [statistics.NormalDist().inv_cdf(min(max(level, 1e-9), 1 - 1e-9)) for level in LEVELS]


def test_a_likelihood_ratio_of_few_pairs_claims_little_and_where_nothing_differs_nothing():
    few = score_distribution(np.array([0.8, 0.9]), np.array([0.1, 0.2, 0.3]))
    assert 0 < few["log_ratios"][-1] < math.log(10) and few["log_ratios"][0] < 0
    same = score_distribution(np.full(4, 0.5), np.full(9, 0.5))
    assert same["cosines"] == [0.5, 0.5] and same["log_ratios"] == pytest.approx([0, 0])


def test_distributions_of_captions_and_images_put_matching_pairs_higher():
    rng = np.random.default_rng(1)
    images = rng.normal(size=(20, 16))
    of_text = np.repeat(np.arange(20), 3)
    near = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (
        images[of_text] + 0.3 * rng.normal(size=(60, 16)), images, images[:9] + 0.3 * rng.normal(size=(9, 16)),
    )]  # fmt: skip
    found = score_distributions(near[0], of_text, near[1], near[2], rng)
    assert len(found["levels"]) == len(LEVELS)
    for kind in ("text_image", "text_text", "image_image"):
        median = LEVELS.index(0.5)
        assert found[kind]["matching"][median] > 0.8 > 0.3 > found[kind]["random"][median]
        assert found[kind]["log_ratios"][-1] > 2 > -2 > found[kind]["log_ratios"][0]


def test_a_caption_is_drawn_to_every_picture_of_its_label_and_away_from_the_others():
    images_ME = torch.eye(3)
    own_BM = torch.tensor([[True, True, False]])
    text_BE = torch.tensor([[1.0, 1.0, 0.0]]) / 2**0.5
    # Both own pictures score 1 / sqrt(2), the other 0: -log of the own share of the softmax.
    own, temperature = 2 * math.exp(0.5**0.5), 1.0
    assert image_loss(own_BM, temperature)(text_BE, images_ME).item() == pytest.approx(
        math.log((own + 1) / own), rel=1e-4
    )
    assert image_loss(own_BM, 0.1)(images_ME[2:], images_ME) > 5


def test_a_contradiction_costs_nothing_once_it_is_farther_by_the_margin():
    target, text = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.8, 0.6]])
    assert contradiction_loss(text, torch.tensor([[0.7, 0.0]]), target).item() == pytest.approx(0, abs=1e-6)
    assert contradiction_loss(text, text, target).item() == pytest.approx(0.1)
    assert contradiction_loss(text, text, target, 0.3).item() == pytest.approx(0.3)


def test_what_the_static_tier_leaves_sums_up_to_the_target():
    target, added = torch.randn(5, 8, dtype=torch.float64), torch.randn(5, 8, dtype=torch.float64)
    target, added = (F.normalize(x, dim=-1) for x in (target + added, added))
    left = left_of(target, added)
    torch.testing.assert_close(left.norm(dim=1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(F.normalize(left + added, dim=-1), target)


def test_a_narrow_table_keeps_what_its_principal_directions_can():
    rows_VD = torch.randn(20, 3) @ torch.randn(3, 8)
    state = table_of(rows_VD, 3)
    assert state["table.weight"].shape == (20, 3)
    torch.testing.assert_close(state["table.weight"] @ state["widen.weight"].T, rows_VD, atol=1e-4, rtol=1e-4)
    static = StaticStudent.of_width(rows_VD, 3)
    torch.testing.assert_close(static([[1], [2, 2]]), StaticStudent(rows_VD)([[1], [2, 2]]), atol=1e-4, rtol=1e-4)


def test_a_sum_is_the_same_from_padded_batches_as_from_single_texts():
    shape = StudentShape(30, 1, 16, 2, 12, 8, [8], table_width=4, static_weight=0.5)
    student = TextStudent(shape).eval()
    static = StaticStudent(torch.randn(30, 4), torch.randn(4, 8))
    student.add_static(static)
    alone = TextStudent(StudentShape(30, 1, 16, 2, 12, 8, [8], table_width=4)).eval()
    alone.load_state_dict(student.state_dict())
    rows = [with_special_tokens(ids, 12) for ids in ([7, 8, 9], [10], [11, 12, 13, 14, 15])]
    with torch.no_grad():
        fast = static([[7, 8, 9], [10], [11, 12, 13, 14, 15]])
    torch.testing.assert_close(student.embed(rows), F.normalize(alone.embed(rows) + 0.5 * fast, dim=-1))


def test_layers_of_a_smaller_student_are_spread_over_those_of_the_larger():
    assert [spaced_layers(6, wanted) for wanted in (1, 2, 3, 6)] == [[0], [0, 5], [0, 2, 5], [0, 1, 2, 3, 4, 5]]
    with pytest.raises(ValueError, match="the initial weights have 6 layers, the student 7"):
        spaced_layers(6, 7)
