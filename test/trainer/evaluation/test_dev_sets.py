"""Dev sets on a data folder of plain colours: a model that sees colours and reads their names is right everywhere, one
that tells nothing apart is right nowhere."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colour_model import COLOURS, ReadsColours, SeesColours
from contracts.constants import DEV_SET_FILES
from evaluation.bench import Bench, Place
from evaluation.cache import VectorCache
from evaluation.measure import flat, measure, table, units
from evaluation.progress import Progress
from evaluation.registry import BY_NAME, DEV_SETS
from evaluation.sets import absent


def write_rows(file: Path, rows):
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())


def write_photos(file: Path, keys: dict[str, str]):
    """One plain photo for each key, of the colour that it maps to."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for key, colour in keys.items():
            buffer = io.BytesIO()
            Image.new("RGB", (8, 8), COLOURS[colour][0]).save(buffer, "JPEG", quality=95)
            member = tarfile.TarInfo(f"{key}.jpg")
            member.size = buffer.tell()
            buffer.seek(0)
            archive.addfile(member, buffer)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with the files of every dev set."""
    folder = tmp_path_factory.mktemp("data")
    names = list(COLOURS)
    captions = [f"Something {name} on the floor" for name in names]
    write_photos(folder / "flickr8k/flickr8k-dev-000.tar", {name: name for name in names})
    rows = [{"key": n, "captions": [c, f"all of it is {n} ."]} for n, c in zip(names, captions, strict=True)]
    # To a model that reads colours only, these are about red as well.
    rows[0]["captions"] += [
        "red dog and ball, people, grass, snow and water",
        "a red man by a lady",
        "red sky, tan sand",
    ]
    write_rows(folder / "flickr8k/flickr8k-dev.captions.jsonl", rows)
    write_rows(
        folder / "text/flickr8k-cn.dev.jsonl.gz",
        [{"key": name, "captions": [f"都是{COLOURS[name][2]}"]} for name in reversed(names)],
    )
    classes = [{"index": number, "wnid": f"n{number}", "name": name} for number, name in enumerate(names)]
    templates = ["a photo of {}.", "the {}"]
    for tar, key in (("imagenet1k-sample/imagenet1k-sample.tar", "s"), ("images/imagenet-ccby-000.tar", "c")):
        write_photos(folder / tar, {f"{key}{name}": name for name in names})
        labelled = [{"key": f"{key}{row['name']}", "index": row["index"]} for row in classes]
        write_rows(folder / tar.replace("-000.tar", ".jsonl").replace(".tar", ".jsonl"), labelled)
    (folder / "imagenet1k-sample/classes.json").write_text(json.dumps({"classes": classes, "templates": templates}))
    write_rows(folder / "text/imagenet-classes.jsonl.gz", [{"name": "red", "synonyms": ["green", "blue"]}])
    write_photos(folder / "cifar10-mini/cifar10-mini.tar", {f"{name}1": name for name in names})
    write_rows(folder / "cifar10-mini/cifar10-mini.jsonl", [{"key": f"{name}1", "label": name} for name in names])
    (folder / "grocery").mkdir()
    grocery = [
        {"id": number, "name": name, "coarse_id": number // 2, "coarse": " and ".join(names[number // 2 * 2 :][:2]),
         "description": f"All {name}."}
        for number, name in enumerate(names)
    ]  # fmt: skip
    (folder / "grocery/classes.json").write_text(json.dumps(grocery))
    write_photos(folder / "grocery/grocery-val.tar", {f"v{name}": name for name in names})
    write_rows(
        folder / "grocery/grocery-val.jsonl",
        [{"key": f"v{row['name']}", "class_id": row["id"], "coarse_id": row["coarse_id"]} for row in grocery],
    )
    for name in ("nouns", "objects", "food", "products", "caltech101", "birds"):
        write_photos(folder / f"images/{name}-000.tar", {f"animal-{name}-{colour}": colour for colour in names})
        labels = [{"key": f"animal-{name}-{colour}", "label": colour.upper()} for colour in names]
        write_rows(folder / f"images/{name}.jsonl", labels)
    # An animal that no caption names.
    write_photos(
        folder / "images/objects-000.tar", {f"animal-objects-{c}": c for c in names} | {"animal-quokka": "red"}
    )
    with (folder / "images/objects.jsonl").open("a") as more:
        more.write('{"key": "animal-quokka", "label": "quokka"}\n')
    translated = [
        {"id": name, "en": f"it is {name}", "de": COLOURS[name][1], "fr": "", "cs": COLOURS[name][1]} for name in names
    ]
    write_rows(folder / "text/multi30k-en-de-fr-cs.dev.jsonl.gz", translated)
    more = [{"id": n, **dict.fromkeys(("pt", "es", "uk", "ar"), "?"), "zh": f"是{COLOURS[n][2]}"} for n in names]
    write_rows(folder / "text/multi30k-more.dev.jsonl.gz", more)
    write_rows(
        folder / "text/stsb.dev.jsonl.gz",
        [
            {"a": "red", "b": "red", "score": 5.0},
            {"a": "red", "b": "red and green", "score": 3.0},
            {"a": "red", "b": "red, green, blue", "score": 2.0},
            {"a": "red", "b": "green", "score": 0.0},
        ],
    )
    long = [{"captions": [{"by": "IIW", "text": f"The {name} one. It is {name} all over."}]} for name in names]
    write_rows(folder / "text/long-captions.dev.jsonl.gz", [*long, {"captions": [{"by": "IIW", "text": "One."}]}])
    return folder


@pytest.fixture(scope="module")
def measured(data):
    return measure(SeesColours(), DEV_SETS, Place(data, progress=Progress(quiet=True)))


def test_every_dev_set_is_measured(measured):
    assert measured["left_out"] == {}
    assert list(measured["sets"]) == [row.name for row in DEV_SETS] == list(DEV_SET_FILES)


PERFECT = {
    "flickr": ["image_to_text_R@1", "text_to_image_R@1", "mean_recall"],
    "flickr-compact": ["float@8", "int8@8", "bits@8", "bits, rescored@8"],
    "flickr-zh": ["image_to_text_R@1", "text_to_image_R@1", "mean_recall"],
    "imagenet-sample": ["top1", "top5"],
    "imagenet-sample-80": ["top1", "top5"],
    "imagenet-ccby": ["top1", "top5"],
    "cifar10": ["top1"],
    "grocery": ["top1", "top5", "described_top1", "coarse_top1"],
    "unseen-nouns": ["top1", "new_top1"],
    "unseen-caltech101": ["top1", "other_top1"],
    "unseen-birds": ["top1", "other_top1"],
    "multi30k": ["de_R@1", "cs_R@1", "zh_R@1"],
    "stsb": ["spearman"],
    "long": ["half_to_half_R@1"],
    "absent": ["auc", "absent_called_absent", "nonsense_called_absent", "absent_things_called_absent", "things_auc"],
}


@pytest.mark.parametrize("name", PERFECT)
def test_a_model_that_reads_and_sees_is_right(measured, name):
    figures = measured["sets"][name]["colours"]
    assert {figure: figures[figure] for figure in PERFECT[name]} == pytest.approx(dict.fromkeys(PERFECT[name], 1.0))


# Of compact vectors the mean of the six is told alone, which among eight photos holds the first ten.
@pytest.mark.parametrize("name", [row.name for row in DEV_SETS if row.name != "flickr-compact"])
def test_a_model_that_tells_nothing_apart_is_never_right(measured, name):
    figures = measured["sets"][name]["nothing"]
    # Among eight photos everything is one of the first ten.
    spared = {"image_to_text_R@10", "text_to_image_R@10", "mean_recall", "photo_R@10", "typed_photo_R@10", "cosine"}
    shown = [figure for figure in BY_NAME[name].shown if figure in figures and figure not in spared]
    assert shown
    assert {figure: figures[figure] for figure in shown} == dict.fromkeys(shown, 0.0)


def test_a_language_that_the_model_does_not_read_is_never_found(measured):
    assert measured["sets"]["multi30k"]["colours"]["uk_R@1"] == 0


def test_things_that_photos_show_are_those_that_most_captions_name(data):
    model = SeesColours()
    bench = Bench(model, model.tiers["colours"], Place(data, progress=Progress(quiet=True)))
    captions = [["two dogs and a quokka", "quokkas", "a red bicycle"], ["red", "reddish", "a red one", "green"]]
    # The quokka by two of three; red by two of four, which is not most.
    assert absent.present_things(bench, captions) == ["a photo of a quokka"]


def test_names_of_things_that_are_there_are_not_called_absent_by_a_model_that_reads_them(measured, data):
    assert measured["sets"]["absent"]["colours"]["present_things_called_absent"] == 0
    model = SeesColours()
    # It reads sentences but no prompts: every name scores below every caption.
    model.reader.embed = lambda texts: ReadsColours().embed(["" if "photo of" in text else text for text in texts])
    bench = Bench(model, model.tiers["colours"], Place(data, progress=Progress(quiet=True)))
    assert absent.present_or_absent(bench)["present_things_called_absent"] == 1


def test_what_is_called_absent_is_what_the_model_itself_says_of_texts_of_that_length(data):
    told = []

    class Judges(ReadsColours):
        def called_absent(self, texts, top_N, count):
            told.append((texts, count, top_N.shape))
            return np.array([len(text.split()) > 4 for text in texts])

    model = SeesColours()
    bench = Bench(model, Judges(), Place(data, progress=Progress(quiet=True)))
    figures = absent.present_or_absent(bench)
    # "a photo of a quokka" has five words, a word of random letters has three at most.
    assert figures["present_things_called_absent"] == 1 and figures["nonsense_called_absent"] == 0
    assert {count for _, count, _ in told} == {8} and all(shape == (len(texts),) for texts, _, shape in told)


def test_only_photos_of_held_out_labels_count_as_unseen(measured):
    # Of the colours' labels the hash holds "zebra" out: four sets with one photo each.
    found = measured["sets"]["unseen-nouns"]["colours"]
    assert found["photos"] == 4
    assert found["new_photos"] == 4
    # The quokka's name is no colour.
    others = 4 * (len(COLOURS) - 1) + 1
    assert (found["other_photos"], found["other_top1"]) == (others, pytest.approx((others - 1) / others))


def test_a_set_without_its_files_is_left_out_and_says_which(data, tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text/stsb.dev.jsonl.gz").write_bytes((data / "text/stsb.dev.jsonl.gz").read_bytes())
    found = measure(SeesColours(), [BY_NAME["stsb"], BY_NAME["long"]], Place(tmp_path, progress=Progress(quiet=True)))
    assert list(found["sets"]) == ["stsb"]
    assert found["left_out"] == {"long": "the data folder has no text/long-captions.dev.jsonl.gz"}


def test_a_photo_that_cannot_be_read_is_named(tmp_path):
    write_photos(tmp_path / "photos.tar", {"red": "red"})
    with tarfile.open(tmp_path / "photos.tar", "a") as archive:
        archive.addfile(tarfile.TarInfo("broken.jpg"))
    model = SeesColours()
    bench = Bench(model, model.tiers["colours"], Place(tmp_path, progress=Progress(quiet=True)))
    with pytest.raises(ValueError, match="the picture broken cannot be read"):
        bench.photos("photos.tar", [{"key": "red"}, {"key": "broken"}])


def test_the_table_shows_per_cent_by_tier_and_reports_name_set_tier_and_figure(measured):
    lines = table(measured, DEV_SETS).splitlines()
    assert lines[0].split() == ["colours", "nothing"]
    assert next(line for line in lines if line.startswith("stsb")).split() == ["stsb", "spearman", "100.0", "0.0"]
    assert flat(measured)["stsb.colours.spearman"] == pytest.approx(1)


def test_the_share_of_two_models_grows_to_the_end_and_never_falls(data):
    shares = []

    class Kept(Progress):
        def tick(self, done, total, what):
            super().tick(done, total, what)
            shares.append(self.share)

    place = Place(data, progress=Kept(quiet=True))
    # Texts and photos of a set are embedded one after the other.
    sets = [BY_NAME["flickr"], BY_NAME["stsb"]]
    place.progress.expect(2 * units(sets, place, ["colours", "nothing"]))
    for model in (SeesColours(), SeesColours("another")):
        measure(model, sets, place, ["colours", "nothing"])
    assert shares == sorted(shares) and len(set(shares)) >= 8
    assert shares[-1] == 1
    assert place.progress.begun == place.progress.units == 8


@pytest.mark.parametrize("name", [row.name for row in DEV_SETS if row.texts_only])
def test_a_set_of_texts_says_how_many_lists_of_them_it_computes(data, name):
    calls = []

    class Counts(Bench):
        def texts(self, texts):
            calls.append(texts)
            return super().texts(texts)

    model = SeesColours()
    BY_NAME[name].measure(Counts(model, model.tiers["colours"], Place(data, progress=Progress(quiet=True))))
    assert len(calls) == BY_NAME[name].lists


def test_vectors_are_computed_once_for_a_space_and_a_tier(data, tmp_path):
    place = Place(data, VectorCache(tmp_path), Progress(quiet=True))
    sets = [BY_NAME["flickr"], BY_NAME["imagenet-ccby"]]
    first, second = SeesColours(), SeesColours()
    expected = measure(first, sets, place, ["colours"])
    assert measure(second, sets, place, ["colours"]) == expected
    assert first.seen == 2 * len(COLOURS)
    assert (second.seen, second.reader.calls) == (0, 0)
    third = SeesColours("another")
    third.reader.key = "another"
    measure(third, sets, place, ["colours"])
    assert third.seen == 2 * len(COLOURS)
    assert third.reader.calls > 0


def test_the_cache_forgets_what_was_used_longest_ago(tmp_path):
    cache = VectorCache(tmp_path)
    for name in ("a", "b", "c"):
        cache.vectors([name], lambda: np.zeros((100, 8), np.float32))
    cache.prune(2 * 4000)
    assert len(list(tmp_path.iterdir())) == 2


def test_typing_errors_change_one_word_and_swaps_keep_the_words(data):
    import random

    from evaluation.sets.minimal_pairs import COLOURS as COLOUR_WORDS
    from evaluation.sets.minimal_pairs import swapped
    from evaluation.sets.texts import mistyped

    rng = random.Random(1)
    for fragment in ("two brown dogs", "a child on swing", "see saw"):
        for _ in range(50):
            wrong = mistyped(fragment, rng)
            if fragment == "see saw":
                assert wrong is None  # its words are too short
                continue
            assert wrong is not None
            changed = [(a, b) for a, b in zip(fragment.split(), wrong.split(), strict=True) if a != b]
            assert len(changed) == 1
            assert abs(len(changed[0][0]) - len(changed[0][1])) <= 1
    assert swapped("A red car by a Blue house", COLOUR_WORDS) == "A Blue car by a red house"
    assert swapped("a red and blue car", COLOUR_WORDS) is None
    assert swapped("a red car, a red house", COLOUR_WORDS) is None
    assert swapped("a red car", COLOUR_WORDS) is None


def test_a_bench_gives_equal_texts_equal_vectors_and_a_class_the_mean_of_its_prompts(data):
    model = SeesColours()
    bench = Bench(model, model.tiers["colours"], Place(data, progress=Progress(quiet=True)))
    texts_NE = bench.texts(["red", "blue", "red"])
    assert texts_NE[0].equal(texts_NE[2])
    (class_E,) = bench.classes([["red", "green", "blue"]])
    assert class_E.tolist() == pytest.approx([3**-0.5] * 3 + [0] * 5)
