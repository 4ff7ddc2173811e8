"""ImageNet's layouts with one tiny picture or two for each class, and a model that reads the classes' names and sees their numbers."""

import numpy as np
import pytest
from open_clip import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES
from PIL import Image

from engine.world import ALONE_ON_CPU
from evaluation.layouts.files import WrongLayout
from evaluation.layouts.imagenet import synsets
from evaluation.progress import Progress
from evaluation.streaming.encoder import Settings
from evaluation.streaming.rows import stored_rows
from evaluation.suites.command import finished, measure_model, outcomes_as_figures, read_suites
from evaluation.suites.zero_shot import fit_and_measure
from towers.quantisation import WITHOUT_MANIFEST

CODES = np.random.default_rng(0).normal(size=(1000, 32)).astype(np.float32)
CODES /= np.linalg.norm(CODES, axis=1, keepdims=True)


class SeesNumbers:
    """A class is a direction; a picture of it has the class's number in its colour, a prompt its name. Reads one prompt wrongly."""

    title = space = key = "sees numbers"
    dims = (32,)
    quantisation = WITHOUT_MANIFEST

    def __init__(self, misread: tuple[int, int] | None = None) -> None:
        self.tiers = {"names": self}
        self.number_of = {
            template(name): number
            for number, name in enumerate(IMAGENET_CLASSNAMES)
            for template in OPENAI_IMAGENET_TEMPLATES
        }
        if misread is not None:
            first, second = misread
            for template in OPENAI_IMAGENET_TEMPLATES:
                self.number_of[template(IMAGENET_CLASSNAMES[first])] = second
            self.key = f"misreads {misread}"

    def pixels(self, image):
        import io

        opened = Image.open(io.BytesIO(image)) if isinstance(image, bytes) else image
        return np.asarray(opened.convert("RGB"), np.float32).transpose(2, 0, 1)

    def embed_pixels(self, pixels_B3SS):
        red, green, _ = pixels_B3SS[:, :, 0, 0].round().astype(int).T
        return CODES[red * 100 + green]

    def embed(self, texts):
        return CODES[[self.number_of[text] for text in texts]]


def write_classes(folder, named, pictures=1):
    """`named`: (folder name, number of 1,000)."""
    for name, number in named:
        (folder / name).mkdir(parents=True)
        for count in range(pictures):
            Image.new("RGB", (2, 2), (number // 100, number % 100, 0)).save(folder / name / f"{count}.JPEG", "PNG")


ALL = list(enumerate(synsets("imagenet")))
INDEX_OF = {wnid: number for number, wnid in ALL}


def measured(tmp_path, name, model):
    settings = Settings(tmp_path / "kept", progress=Progress(quiet=True))
    given = read_suites([f"{name}={tmp_path / 'data'}"])
    return outcomes_as_figures(finished(measure_model(model, given, settings, ())))[name]["names"]


def test_the_classes_are_in_the_order_of_their_names():
    assert (INDEX_OF["n01440764"], IMAGENET_CLASSNAMES[0]) == (0, "tench")
    assert (INDEX_OF["n02391049"], IMAGENET_CLASSNAMES[340]) == (340, "zebra")
    assert (len(synsets("imagenet_a")), len(synsets("imagenet_r"))) == (200, 200)
    assert synsets("imagenet") == sorted(synsets("imagenet"))


@pytest.mark.parametrize(
    ("name", "below", "named"),
    [
        ("imagenet", "val", [(wnid, number) for number, wnid in ALL]),
        ("imagenet-v2", "imagenetv2-matched-frequency-format-val", [(str(number), number) for number, _ in ALL]),
        ("imagenet-sketch", "sketch", [(wnid, number) for number, wnid in ALL]),
        ("imagenet-a", "imagenet-a", [(wnid, INDEX_OF[wnid]) for wnid in synsets("imagenet_a")]),
        ("imagenet-r", ".", [(IMAGENET_CLASSNAMES[INDEX_OF[wnid]].replace("/", "_"), INDEX_OF[wnid]) for wnid in synsets("imagenet_r")]),
    ],
)  # fmt: skip
def test_every_picture_finds_its_class(tmp_path, name, below, named):
    write_classes(tmp_path / "data" / below, named)
    figures = measured(tmp_path, name, SeesNumbers())
    count = len(named)
    assert (figures["pictures"], figures["classes"]) == (count, count)
    # A few names stand for two classes each ("crane", "maillot"): their prompts are read as the second one's.
    assert figures["top1"] >= 1 - 8 / count
    assert figures["one_template_top1"] == figures["top1"] == pytest.approx(figures["mean_per_class_recall"])
    assert figures["top5"] >= figures["top1"]


def test_classes_outside_of_a_subset_are_no_answers(tmp_path):
    """Pictures of class 6 of ImageNet-A's own classes, whose name is read as a class outside of them: nothing else is lost."""
    chosen = synsets("imagenet_a")
    write_classes(tmp_path / "data", [(wnid, INDEX_OF[wnid]) for wnid in chosen], pictures=2)
    figures = measured(tmp_path, "imagenet-a", SeesNumbers((INDEX_OF[chosen[6]], 0)))
    assert 0 not in {INDEX_OF[wnid] for wnid in chosen}
    assert figures["top1"] == pytest.approx(1 - 2 / 400)


def test_a_class_with_two_folders_is_refused(tmp_path):
    folder = tmp_path / "data"
    write_classes(folder, [(wnid, INDEX_OF[wnid]) for wnid in synsets("imagenet_a")])
    twice = synsets("imagenet_a")[3]
    write_classes(folder, [(str(INDEX_OF[twice]), INDEX_OF[twice])])
    with pytest.raises(WrongLayout, match=f"two folders of one class, {INDEX_OF[twice]} and {twice}"):
        read_suites([f"imagenet-a={folder}"])


def test_missing_and_unknown_classes_are_named(tmp_path):
    folder = tmp_path / "data"
    chosen = synsets("imagenet_a")
    write_classes(folder, [(wnid, INDEX_OF[wnid]) for wnid in chosen[:-1]])
    with pytest.raises(WrongLayout, match=f"lacks 1 of 200 classes, for instance {chosen[-1]}"):
        read_suites([f"imagenet-a={folder}"])
    (folder / chosen[-1]).mkdir()
    with pytest.raises(WrongLayout, match=f"{chosen[-1]} holds no picture"):
        read_suites([f"imagenet-a={folder}"])
    (folder / "dogs").mkdir()
    with pytest.raises(WrongLayout, match=r"a folder for each of 200 classes .*, it has dogs"):
        read_suites([f"imagenet-a={folder}"])
    with pytest.raises(WrongLayout, match="holds no folder train"):
        read_suites([f"imagenet-probe={folder}"])


class Given:
    """Vectors that are there."""

    def __init__(self, vectors):
        self.vectors = vectors

    def begin(self, count):
        pass

    def compute(self, start, end):
        return self.vectors[start:end]


def test_a_linear_probe_learns_what_can_be_separated_and_no_more(tmp_path):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 16))
    classes = rng.integers(0, 6, 400)
    vectors = (centres[classes] + 0.3 * rng.normal(size=(400, 16))).astype(np.float32)
    train = stored_rows(tmp_path / "train", 300, np.float32, Given(vectors[:300]), ALONE_ON_CPU)
    test = stored_rows(tmp_path / "test", 100, np.float32, Given(vectors[300:]), ALONE_ON_CPU)
    figures = fit_and_measure(train, classes[:300], test, classes[300:])
    assert figures["top1"] > 0.97
    assert (figures["train_pictures"], figures["pictures"]) == (300, 100)
    by_chance = fit_and_measure(train, rng.permutation(classes[:300]), test, classes[300:])
    assert by_chance["top1"] < 0.5
    assert by_chance["top5"] > by_chance["top1"]


def test_the_probes_suite_reads_train_and_val(tmp_path, monkeypatch):
    monkeypatch.setattr("evaluation.layouts.imagenet.synsets", lambda _: ["n01440764", "n01443537", "n01484850"])
    for split, pictures in (("train", 12), ("val", 2)):
        write_classes(tmp_path / "data" / split, [("n01440764", 0), ("n01443537", 1), ("n01484850", 2)], pictures)
    figures = measured(tmp_path, "imagenet-probe", SeesNumbers())
    assert {name: figures[name] for name in ("top1", "train_pictures", "pictures")} == {
        "top1": 1,
        "train_pictures": 36,
        "pictures": 6,
    }
