"""Suites on tiny folders in the published layouts, written here: a model that sees colours is right on them, and a folder in
another layout is refused with what was expected."""

import gzip
import json
import sys

import pytest
from damaged_pictures import DAMAGED
from PIL import Image

from colour_model import COLOURS, SeesColours
from evaluation.layouts.choices import SUGAR_CREPE, coco_order
from evaluation.layouts.files import WrongLayout
from evaluation.layouts.items import Captioned
from evaluation.layouts.word_order import as_aro, shuffled
from evaluation.progress import Progress
from evaluation.streaming.encoder import Settings
from evaluation.suites.command import finished, measure_model, outcomes_as_figures, read_suites
from evaluation.suites.table import BY_NAME

NAMES = list(COLOURS)


def paint(file, colour):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), COLOURS[colour][0]).save(file, quality=95)


def write(file, document):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def two(colour):
    return [f"it is {colour}", f"all {colour} ."]


def karpathy(folder, name, pictures, more):
    """Two colours are of the train split and have no picture."""
    for colour in NAMES[2:]:
        paint(folder / pictures / f"{colour}.jpg", colour)
    write(
        folder / f"dataset_{name}.json",
        {
            "dataset": name,
            "images": [
                {
                    "filename": f"{colour}.jpg", "imgid": number, "split": "train" if number < 2 else "test",
                    "sentences": [{"raw": text} for text in two(colour) + ["a"] * 5][: 2 if number % 2 else 7], **more,
                }
                for number, colour in enumerate(NAMES)
            ],
        },
    )  # fmt: skip


def own_captions(folder):
    for colour in NAMES:
        paint(folder / "photos" / f"{colour}.jpg", colour)
    write(folder / "captions.jsonl", lines({"image": f"photos/{c}.jpg", "caption": two(c)} for c in NAMES))


def flickr8k(folder):
    karpathy(folder, "flickr8k", "Flicker8k_Dataset", {})


def flickr30k(folder):
    for colour in NAMES:
        paint(folder / f"flickr30k-images/{colour}.jpg", colour)
    rows = [{"image": f"flickr30k-images/{colour}.jpg", "caption": two(colour)} for colour in NAMES]
    write(folder / "flickr30k_test.json", rows)


def coco(folder):
    karpathy(folder, "coco", "val2014", {"filepath": "val2014"})


def coco_val2017(folder):
    for number, colour in enumerate(NAMES):
        paint(folder / f"val2017/{number:012}.jpg", colour)
    images = [{"id": number, "file_name": f"{number:012}.jpg"} for number in range(len(NAMES))]
    # Captions come in any order, and some pictures have more than five.
    rows = [
        {"image_id": number, "id": 10 * number + k, "caption": f"{text}\n"}
        for k, text in enumerate([*two("{}"), *["{} a"] * 5])
        for number in range(len(NAMES))
    ]
    for row in rows:
        row["caption"] = row["caption"].replace("{}", NAMES[row["image_id"]])
    write(folder / "annotations/captions_val2017.json", {"images": images, "annotations": rows})


def urban1k(folder):
    for number, colour in enumerate(NAMES, 1):
        paint(folder / f"image/{number}.jpg", colour)
        write(folder / f"caption/{number}.txt", f"{'a street and ' * number}{colour}\n")


def sharegpt4v(folder):
    rows = []
    for colour in NAMES:
        paint(folder / f"data/sam/images/{colour}.jpg", colour)
        turns = [{"from": "human", "value": "Describe the red image."}, {"from": "gpt", "value": f"It is\n{colour}."}]
        rows.append({"id": colour, "image": f"sam/images/{colour}.jpg", "conversations": turns})
    write(folder / "share-captioner_coco_lcs_sam_1246k_1107.json", rows)


def docci(folder):
    rows = []
    for colour in NAMES:
        paint(folder / f"images/test_{colour}.jpg", colour)
        rows.append({"split": "test", "image_file": f"test_{colour}.jpg", "description": f"All of it is {colour}."})
    rows.append({"split": "train", "image_file": "train_00000.jpg", "description": "red"})
    write(folder / "docci_descriptions.jsonlines", lines(rows))


def iiw(folder):
    for colour in NAMES:
        paint(folder / f"images/{colour}.jpg", colour)
    rows = [{"image/key": colour, "IIW": f"All of it is {colour}.", "IIW-P5B": "red"} for colour in NAMES]
    write(folder / "IIW-400/data.jsonl", lines(rows))


def cra(folder):
    coco_val2017(folder)
    for file in (folder / "val2017").iterdir():
        file.unlink()  # it looks at no picture


def multi30k(folder):
    for colour in NAMES:
        paint(folder / f"images/{colour}.jpg", colour)
    write(folder / "data/task1/image_splits/test_2016_flickr.txt", "".join(f"{colour}.jpg\n" for colour in NAMES))
    for number, language in enumerate(("en", "de", "fr")):
        words = [COLOURS[colour][1] if number else colour for colour in NAMES]
        texts = "".join(f"{word if number < 2 else 'un chien'} .\n" for word in words)
        file = folder / f"data/task1/raw/test_2016_flickr.{language}.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(texts.encode()))


def crossmodal(folder):
    rows = []
    for colour in NAMES:
        paint(folder / f"images/{colour}.jpg", colour)
        # Some pictures have two German captions, of which the second one is about red.
        german = {"caption": [COLOURS[colour][1], "rot"][: 1 if colour == "blue" else 2]}
        rows.append({"image/key": colour, "image/locale": "de", "en": {"caption": [colour]}, "de": german})
    write(folder / "captions.jsonl", lines(rows))


def flickr30k_cn(folder):
    texts = []
    for number, colour in enumerate(NAMES, 1000):
        paint(folder / f"flickr30k-images/{number}.jpg", colour)
        texts += [f"{number}\t都是{COLOURS[colour][2]}\n", f"{number}.jpg#1 {COLOURS[colour][2]} 的\n"]
    write(folder / "flickr30k_cn_test.txt", "".join(texts))


def coco_cn(folder):
    keys = [f"COCO_val2014_{number:012}" for number in range(len(NAMES))]
    for key, colour in zip(keys, NAMES, strict=True):
        paint(folder / f"val2014/{key}.jpg", colour)
    captions = [f"{key}#0\t都是{COLOURS[colour][2]}\n" for key, colour in zip(keys, NAMES, strict=True)]
    write(folder / "annotations/imageid.human-written-caption.txt", "".join([*captions, "COCO_train2014_1#0\t狗\n"]))
    write(folder / "annotations/coco-cn_test.txt", "".join(f"{key}\n" for key in keys))


def sugarcrepe(folder):
    for number, kind in enumerate(SUGAR_CREPE):
        colour, wrong = NAMES[number], NAMES[number + 1]
        paint(folder / f"val2017/{kind}.jpg", colour)
        row = {"filename": f"{kind}.jpg", "caption": f"a {colour} dog", "negative_caption": f"a {wrong} dog"}
        write(folder / f"data/{kind}.json", {"7": row})


def aro(file, more):
    def write_cases(folder):
        folder.mkdir(parents=True)
        rows = []
        for number, colour in enumerate(NAMES):
            # The picture is of another colour outside of the box.
            image = Image.new("RGB", (16, 8), COLOURS[NAMES[number - 1]][0])
            image.paste(COLOURS[colour][0], (8, 0, 16, 8))
            (folder / "images").mkdir(exist_ok=True)
            image.save(folder / f"images/{number}.png")
            box = {"bbox_x": 8, "bbox_y": 0, "bbox_w": 8, "bbox_h": 8}
            texts = {"true_caption": colour, "false_caption": NAMES[number - 1]}
            rows.append({"image_path": f"{number}.png", **box, **texts, **more})
        write(folder / file, rows)

    return write_cases


def order(pictures, file):
    def write_cases(folder):
        rows = []
        for number, colour in enumerate(NAMES):
            paint(folder / pictures / f"{colour}.jpg", colour)
            wrong = [NAMES[number - 1], NAMES[number - 2]]
            rows.append({"image": f"{pictures}/{colour}.jpg", "caption_options": [colour, *wrong]})
        write(folder / file, rows)

    return write_cases


def sts(folder):
    pairs = [(5, "red", "red"), (3.2, "red", "red and green"), (2, "red", "red, green, blue"), (0, "red", "green")]
    rows = [f"main-captions\tMSRvid\t2012test\t{n:04}\t{score}\t{a}\t{b}\n" for n, (score, a, b) in enumerate(pairs)]
    write(folder / "sts-test.csv", "".join(rows))


WRITERS = {
    "captions": own_captions,
    "flickr8k": flickr8k, "flickr30k": flickr30k, "coco": coco, "coco-val2017": coco_val2017, "urban1k": urban1k,
    "sharegpt4v": sharegpt4v, "docci": docci, "iiw": iiw, "cra": cra, "multi30k": multi30k, "xm3600": crossmodal,
    "crossmodal3600": crossmodal, "flickr30k-cn": flickr30k_cn, "coco-cn": coco_cn, "sugarcrepe": sugarcrepe,
    "aro-relation": aro("visual_genome_relation.json", {"relation_name": "on"}),
    "aro-attribution": aro("visual_genome_attribution.json", {"attributes": ["red", "big"]}),
    "coco-order": order("val2014", "coco_order.json"), "flickr30k-order": order("flickr30k-images", "flickr30k_order.json"),
    "sts": sts,
}  # fmt: skip
BOTH_WAYS = ("image_to_text_R@1", "text_to_image_R@1")
# What that model gets wholly right. Of Karpathy's layouts some captions here name no colour.
RIGHT = {
    "captions": ("image_to_text_R@1", "text_to_image_R@1", "mean_recall"),
    "flickr8k": BOTH_WAYS[:1], "flickr30k": BOTH_WAYS, "coco": BOTH_WAYS[:1], "coco-val2017": BOTH_WAYS[:1],
    "urban1k": BOTH_WAYS, "sharegpt4v": BOTH_WAYS, "docci": BOTH_WAYS, "iiw": BOTH_WAYS,
    "cra": ("cra", "second_to_first", "first_to_any"),
    "multi30k": ("en text_to_image_R@1", "de image_to_text_R@1", "de text_to_image_R@1", "de text_to_english_R@1"),
    "xm3600": ("en text_to_image_R@1",),
    "crossmodal3600": ("mean text_to_image_R@1", "mean image_to_text_R@1", "de text_to_english_R@1"),
    "flickr30k-cn": ("zh text_to_image_R@1", "mean mean_recall"), "coco-cn": ("zh text_to_image_R@1", "zh image_to_text_R@1"),
    "sugarcrepe": ("accuracy", *SUGAR_CREPE), "aro-relation": ("accuracy", "macro_accuracy"),
    "aro-attribution": ("accuracy", "macro_accuracy"), "coco-order": ("accuracy",), "flickr30k-order": ("accuracy",),
    "sts": ("spearman",),
}  # fmt: skip


def figures_of(folder, name, kept, **options):
    settings = Settings(kept, progress=Progress(quiet=True), **options)
    given = read_suites([f"{name}={folder}"])
    return outcomes_as_figures(finished(measure_model(SeesColours(), given, settings, ())))[name]


def test_every_suite_is_tried_here():
    # ImageNet's are tried beside this file.
    assert set(WRITERS) == set(RIGHT) == {name for name in BY_NAME if not name.startswith("imagenet")}


@pytest.mark.parametrize("name", WRITERS)
def test_a_model_that_reads_and_sees_is_right_and_one_that_does_not_never(tmp_path, name):
    WRITERS[name](tmp_path / "data")
    figures = figures_of(tmp_path / "data", name, tmp_path / "kept")
    assert {figure: figures["colours"][figure] for figure in RIGHT[name]} == pytest.approx(
        dict.fromkeys(RIGHT[name], 1.0)
    )
    # Among eight pictures everything is one of the first ten.
    strict = [figure for figure in RIGHT[name] if "mean_recall" not in figure]
    assert {figures["nothing"][figure] for figure in strict} == {0}


def test_karpathys_test_split_alone_is_read_with_five_captions_each(tmp_path):
    coco(tmp_path / "data")
    figures = figures_of(tmp_path / "data", "coco", tmp_path / "kept")["colours"]
    # Six colours, of which three have two captions and three five of the seven.
    assert (figures["pictures"], figures["texts"]) == (6, 3 * 2 + 3 * 5)
    assert figures["text_to_image_R@1"] == pytest.approx((3 * 2 + 3 * 2) / 21)


def test_texts_are_told_by_their_length(tmp_path):
    urban1k(tmp_path / "data")
    figures = figures_of(tmp_path / "data", "urban1k", tmp_path / "kept")["colours"]
    # The text of picture n has 3 n + 1 words: 4, 7 and 10, then 13 to 19, then 22 and 25.
    by_length = {name: value for name, value in figures.items() if name.endswith(" texts")}
    assert by_length == {"1-10 words texts": 3, "11-20 words texts": 3, "21-40 words texts": 2}
    assert figures["21-40 words text_to_image_R@1"] == 1
    assert "1-10 words text_to_image_R@1" not in figures_of_one_length(tmp_path)


def figures_of_one_length(tmp_path):
    docci(tmp_path / "other")
    return figures_of(tmp_path / "other", "docci", tmp_path / "kept")["colours"]


def test_all_captions_of_a_language_count_or_the_first_alone(tmp_path):
    crossmodal(tmp_path / "data")
    every, first = (figures_of(tmp_path / "data", name, tmp_path / "kept") for name in ("xm3600", "crossmodal3600"))
    assert (every["colours"]["de texts"], first["colours"]["de texts"]) == (15, 8)
    # Of the seven captions about red that are second ones, that of red's picture is right.
    assert every["colours"]["de text_to_image_R@1"] == pytest.approx((8 + 1) / 15)


def test_texts_of_a_language_that_the_model_does_not_read_find_nothing(tmp_path):
    multi30k(tmp_path / "data")
    figures = figures_of(tmp_path / "data", "multi30k", tmp_path / "kept")["colours"]
    assert (figures["fr text_to_image_R@1"], figures["fr text_to_english_R@1"]) == (0, 0)
    assert figures["mean text_to_image_R@1"] == pytest.approx(2 / 3)


def test_a_bag_of_words_never_knows_the_order(tmp_path):
    flickr30k(tmp_path / "data")
    figures = figures_of(tmp_path / "data", "flickr30k-order", tmp_path / "kept")["colours"]
    # Of three words a few captions read alike however they are shuffled: they are no cases.
    assert figures["accuracy"] == 0 and len(NAMES) < figures["cases"] < 2 * len(NAMES)


def test_shuffles_are_those_of_aro():
    words = ["A", "man", "in", "a", "red", "jacket", ",", "climbing", "a", "rock", "."]
    caption = "A man in a red jacket, climbing a rock."
    right, *others = shuffled(caption)
    nouns, rest, within, trigrams = (text.split() for text in others)
    assert right == caption and as_aro(right) == "a man in a red jacket, climbing a rock"
    assert all(sorted(text) == sorted(words) for text in (nouns, rest, within, trigrams))
    # A man, a jacket and a rock change places, or all other words do; the red stays alone among adjectives.
    known = [1, 4, 5, 9]
    assert [word for place, word in enumerate(nouns) if place not in known] == [
        word for place, word in enumerate(words) if place not in known
    ]
    assert nouns[4] == "red" and sorted(nouns[place] for place in (1, 5, 9)) == ["jacket", "man", "rock"]
    assert [rest[place] for place in known] == [words[place] for place in known] and rest != words
    for start in range(0, len(words), 3):
        assert sorted(within[start : start + 3]) == sorted(words[start : start + 3])
        found = trigrams.index(words[start]) if words.count(words[start]) == 1 else None
        assert found is None or trigrams[found : found + 3][:2] == words[start : start + 3][:2]
    assert shuffled(caption) == shuffled(caption)


def test_a_wrong_text_that_reads_as_the_right_one_is_none(tmp_path):
    rows = [
        {"image": "val2014/red.jpg", "caption_options": ["red", "Red .", "blue"]},
        {"image": "val2014/red.jpg", "caption_options": ["red", "red!"]},
    ]
    paint(tmp_path / "val2014/red.jpg", "red")
    write(tmp_path / "coco_order.json", rows)
    found = coco_order(tmp_path)
    assert found.options == [["red", "blue"]]
    write(tmp_path / "coco_order.json", rows[1:])
    with pytest.raises(WrongLayout, match="no caption has a wrong one"):
        coco_order(tmp_path)


def test_without_a_tagger_captions_are_refused_with_what_to_install(tmp_path, monkeypatch):
    flickr30k(tmp_path)
    monkeypatch.setitem(sys.modules, "textblob.en", None)
    with pytest.raises(WrongLayout, match="pip install textblob"):
        BY_NAME["flickr30k-order"].read(tmp_path)


def test_vectors_are_kept_and_computed_again_only_for_another_picture(tmp_path):
    docci(tmp_path / "data")
    settings = Settings(tmp_path / "kept", progress=Progress(quiet=True))
    given = read_suites([f"docci={tmp_path / 'data'}"])
    models = [SeesColours() for _ in range(3)]
    first, second = (
        outcomes_as_figures(finished(measure_model(model, given, settings, ["colours"]))) for model in models[:2]
    )
    assert first == second
    assert [model.seen for model in models] == [len(NAMES), 0, 0]
    # A full disk, or a crash before it was written, leaves a part of a file: it is computed again.
    for file in (tmp_path / "kept").rglob("*.npy"):
        file.write_bytes(file.read_bytes()[:-30])
    again = outcomes_as_figures(finished(measure_model(models[1], given, settings, ["colours"])))
    assert again == first and models[1].seen == len(NAMES)
    paint(tmp_path / "data/images/test_red.jpg", "green")
    third = outcomes_as_figures(finished(measure_model(models[2], given, settings, ["colours"])))
    assert models[2].seen == len(NAMES)
    assert third["docci"]["colours"]["text_to_image_R@1"] == pytest.approx((len(NAMES) - 2) / len(NAMES))


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("flickr3k=.", "there is no suite flickr3k. There are: flickr8k, flickr30k,"),
        ("docci", "write NAME=PATH"),
        ("docci=nowhere", "the folder nowhere does not exist; expected is docci_descriptions.jsonlines"),
    ],
)
def test_what_is_no_suite_is_refused(word, sentence):
    with pytest.raises(WrongLayout, match=sentence):
        read_suites([word])


@pytest.mark.parametrize("name", WRITERS)
def test_an_empty_folder_is_refused_with_the_layout(tmp_path, name):
    with pytest.raises(WrongLayout) as refused:
        read_suites([f"{name}={tmp_path}"])
    assert f"{tmp_path} holds no " in str(refused.value)
    assert f"Expected is {BY_NAME[name].layout}" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "file", "content", "sentence"),
    [
        ("flickr30k", "flickr30k_test.json", "{", "is no JSON document"),
        ("flickr30k", "flickr30k_test.json", "{}", "holds no list"),
        ("flickr30k", "flickr30k_test.json", '[{"image": "a.jpg"}]', "a row has no 'caption', it has image"),
        ("flickr30k", "flickr30k_test.json", '[{"image": "a.jpg", "caption": "a"}]', "the picture a.jpg is in none of"),
        ("docci", "docci_descriptions.jsonlines", "{}\n{", "a row has no 'split', it has "),
        ("docci", "docci_descriptions.jsonlines", '{"split": "train"}\n', "names no captioned pictures of the test split"),
        ("docci", "docci_descriptions.jsonlines", '{"split": "train"}\n{', "line 2 is no JSON"),
        ("sts", "sts-test.csv", "a\tb\tc\td\te\tf\tg\n", "line 1: expected 7 columns between tabs, the fifth a number"),
        ("flickr30k-cn", "flickr30k_cn_test.txt", "1000\n", "line 1 is no picture's number and a caption"),
        ("coco-order", "coco_order.json", '[{"image": "a.jpg", "caption_options": ["a"]}]', "the picture a.jpg is in none of"),
        ("coco", "dataset_coco.json", '{"images": [{"filename": "a.jpg"}]}', "a row has no 'split'"),
        ("captions", "captions.jsonl", '{"image": "a.jpg", "caption": null}', "'caption' of a row is null, neither a text"),
        ("captions", "captions.jsonl", '{"image": "a.jpg", "caption": [1]}', "'caption' of a row is .1., neither a text"),
        ("captions", "captions.jsonl", '{"image": "a.jpg", "caption": [" "]}', "a caption of a.jpg is empty"),
        ("captions", "captions.jsonl", '{"image": 1, "caption": "a"}', "names its picture by 1, which is no text"),
        ("docci", "docci_descriptions.jsonlines", '{"split": "test", "image_file": "a.jpg"}', "the picture a.jpg is in none"),
        ("sts", "sts-test.csv", "a\tb\tc\td\tnan\tf\tg\n", "line 1: expected 7 columns between tabs, the fifth a number"),
        ("aro-relation", "visual_genome_relation.json", "[]", "holds no case"),
    ],
)  # fmt: skip
def test_a_file_in_another_layout_is_refused(tmp_path, name, file, content, sentence):
    write(tmp_path / file, content)
    with pytest.raises(WrongLayout, match=f"--suite {name}: .*{sentence}.*Expected is"):
        read_suites([f"{name}={tmp_path}"])


@pytest.mark.parametrize("data", [b"not a picture", *DAMAGED.values()], ids=["none", *DAMAGED])
def test_a_picture_that_is_none_or_damaged_is_named(tmp_path, data):
    docci(tmp_path / "data")
    (tmp_path / "data/images/test_blue.jpg").write_bytes(data)
    with pytest.raises(WrongLayout, match=r"test_blue\.jpg is no picture that can be read"):
        figures_of(tmp_path / "data", "docci", tmp_path / "kept")


def test_rows_of_one_picture_are_captions_of_it(tmp_path):
    own_captions(tmp_path)
    rows = [{"image": f"photos/{colour}.jpg", "caption": text} for text in ("all {} .", "{}") for colour in NAMES]
    for row in rows:
        row["caption"] = row["caption"].replace("{}", row["image"][7:-4])
    write(tmp_path / "captions.jsonl", lines(rows))
    # ALBEF's lists of other splits have a row for each caption, too. No more than five of a picture are read.
    write(tmp_path / "flickr30k_test.json", [row for row in rows for _ in range(3)])
    own, listed = (figures_of(tmp_path, name, tmp_path / "kept")["colours"] for name in ("captions", "flickr30k"))
    assert (own["pictures"], own["texts"], listed["texts"]) == (8, 16, 8 * 5)
    assert {figure: own[figure] for figure in BOTH_WAYS} == dict.fromkeys(BOTH_WAYS, 1)
    assert {figure: listed[figure] for figure in BOTH_WAYS} == dict.fromkeys(BOTH_WAYS, 1)


def test_a_language_in_several_rows_of_a_picture_is_one(tmp_path):
    crossmodal(tmp_path / "data")
    file = tmp_path / "data/captions.jsonl"
    write(file, file.read_text() * 2)
    every, first = (figures_of(tmp_path / "data", name, tmp_path / "kept") for name in ("xm3600", "crossmodal3600"))
    assert (every["colours"]["en texts"], first["colours"]["en texts"]) == (16, 8)
    assert first["colours"]["en text_to_image_R@1"] == every["colours"]["en image_to_text_R@1"] == 1


def test_a_benchmark_of_which_a_part_is_missing_is_refused(tmp_path):
    urban1k(tmp_path / "urban")
    (tmp_path / "urban/caption/3.txt").unlink()
    coco_cn(tmp_path / "coco-cn")
    split = tmp_path / "coco-cn/annotations/coco-cn_test.txt"
    write(split, split.read_text() + "COCO_val2014_7\n")
    sugarcrepe(tmp_path / "crepe")
    write(tmp_path / "crepe/data/add_obj.json", {})
    cra(tmp_path / "cra")
    document = json.loads((tmp_path / "cra/annotations/captions_val2017.json").read_text())
    document["annotations"] = document["annotations"][: len(NAMES)]
    write(tmp_path / "cra/annotations/captions_val2017.json", document)
    for word, sentence in {
        f"urban1k={tmp_path}/urban": "no description of 1 pictures, for instance 3.jpg",
        f"coco-cn={tmp_path}/coco-cn": "no caption of 1 pictures of the split, for instance COCO_val2014_7",
        f"sugarcrepe={tmp_path}/crepe": "add_obj.json holds no case",
    }.items():
        with pytest.raises(WrongLayout, match=sentence):
            read_suites([word])
    with pytest.raises(WrongLayout, match="no picture has two captions"):
        figures_of(tmp_path / "cra", "cra", tmp_path / "kept")


def test_a_suite_of_two_folders_is_refused(tmp_path):
    docci(tmp_path)
    with pytest.raises(WrongLayout, match="--suite docci is given twice"):
        read_suites([f"docci={tmp_path}", f"docci={tmp_path}"])


def test_half_a_pair_of_a_broken_escape_is_read_as_servers_read_it(tmp_path):
    docci(tmp_path)
    file = tmp_path / "docci_descriptions.jsonlines"
    write(file, file.read_text().replace("All of it", "All \\ud83d\\ude00 \\ud83d of it"))
    read = BY_NAME["docci"].read(tmp_path)
    assert isinstance(read, Captioned)
    assert read.texts[0] == "All \U0001f600 \ufffd of it is red."
