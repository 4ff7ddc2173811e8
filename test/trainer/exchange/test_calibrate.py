"""`npm run model -- calibrate`: the same files in a new version, scores fitted on images at hand, and what is refused."""

import json
import subprocess

import numpy as np
import pytest
from PIL import Image

from support import write_captioned_noise, write_tiered_model
from towers.exported_files import artefacts_in
from warm import ROOT, STAGE_ENV, warm_python


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Three tiers of random weights, as a server opens them, with a card."""
    folder = tmp_path_factory.mktemp("model")
    write_tiered_model(folder)
    card = "# tiered 1\n\n## Measured on the dev split\n| figure | value |\n|---|---|\n| old.verdict.auc | 0.1 |\n\n- Parity: kept.\n"
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    write_captioned_noise(folder / "metadata.jsonl", folder)
    return folder


def calibrate(model, photos, to, *more, version="2"):
    command = [warm_python(), "-W", "ignore", "-m", "exchange", "calibrate", str(model), "--model-version", version]
    command += ["--images", str(photos), "--to", str(to), *more]
    return subprocess.run(command, cwd=ROOT / "trainer", env=STAGE_ENV, capture_output=True, text=True, check=False)


def test_the_new_version_has_the_same_files_and_vectors_and_other_scores(model, photos, tmp_path):
    done = calibrate(model, photos / "metadata.jsonl", tmp_path / "new", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["version"] == "2" and said["to"] == str(tmp_path / "new")
    assert "images: 132 of 132" in done.stderr and "captions, tiny: 264 of 264" in done.stderr
    old, new = (
        json.loads((folder / "manifest.json").read_text(encoding="utf-8")) for folder in (model, tmp_path / "new")
    )
    fitted = {"version", "created_at", "calibration", "score_distributions", "search_verdicts", "metrics"}
    assert {name for name in new if new.get(name) != old.get(name)} == fitted
    for file in artefacts_in(new):
        assert (tmp_path / "new" / file["path"]).read_bytes() == (model / file["path"]).read_bytes()
    for verdicts in new["search_verdicts"].values():
        short = verdicts["short_texts"]
        assert short["text_image"]["counts"] == [1, 4, 16, 64, 92]
        # The shorter caption has eleven words and a name two, of which a vocabulary without a colour spells some.
        assert short["max_tokens"] >= 8
    # Transformers read two special tokens more.
    most = {tier: verdicts["short_texts"]["max_tokens"] for tier, verdicts in new["search_verdicts"].items()}
    assert most["student"] == most["tiny"] == most["static"] + 2
    card = (tmp_path / "new" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.startswith(f"# {new['name']} 2\n") and "old.verdict" not in card and "- Parity: kept." in card
    assert "fitted on 132 images with 264 captions" in card
    assert f"| student.verdict.auc | {new['metrics']['student.verdict.auc']:.4f} |" in card
    # The same seed draws the same.
    again = calibrate(tmp_path / "new", photos / "metadata.jsonl", tmp_path / "third", "--json", version="3")
    assert json.loads(again.stdout)["metrics"] == said["metrics"]
    third = (tmp_path / "third" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert third.count("- Scores and verdicts of") == 1


def test_what_cannot_be_fitted_is_refused_with_what_is_needed_and_nothing_is_left(model, photos, tmp_path):
    rows = (photos / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    (photos / "few.jsonl").write_text("\n".join(rows[:99]), encoding="utf-8")
    single = [json.dumps({**json.loads(row), "captions": json.loads(row)["captions"][:1]}) for row in rows]
    (photos / "single.jsonl").write_text("\n".join(single), encoding="utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept", encoding="utf-8")
    version = json.loads((model / "manifest.json").read_text(encoding="utf-8"))["version"]
    for file, to, name, sentence in (
        ("few.jsonl", "new", "2", "has 99 images with captions, at least 100 are needed"),
        ("single.jsonl", "new", "2", "has 0 images with two captions or more, at least 50 are needed"),
        ("metadata.jsonl", "new", version, "name the new one with --model-version"),
        ("metadata.jsonl", "full", "2", "is there already"),
        ("nothing.jsonl", "new", "2", "there is no"),
    ):
        done = calibrate(model, photos / file, tmp_path / to, version=name)
        assert (done.returncode, done.stdout) == (2, "") and sentence in done.stderr, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_columns_of_a_table_are_named_as_for_finetune(model, tmp_path):
    write_captioned_noise(tmp_path / "rows.jsonl", tmp_path / "photos")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    own = [{"Bild": row["file_name"], "Titel": row["captions"][0], "Satz": row["captions"][1]} for row in rows]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, own)), encoding="utf-8")
    refused = calibrate(model, tmp_path / "own.jsonl", tmp_path / "none")
    assert refused.returncode == 2 and "Say which one it is: --image-column NAME" in refused.stderr
    columns = ["--image-column=Bild", "--caption-column=Titel, Satz"]
    done = calibrate(model, tmp_path / "own.jsonl", tmp_path / "new", *columns, "--json")
    assert done.returncode == 0, done.stderr
    notes = " ".join(json.loads(done.stdout)["notes"])
    assert "images from column 'Bild', captions from 'Titel' and 'Satz'" in notes


def test_pictures_that_cannot_be_read_are_named_and_left_out(model, tmp_path):
    """As finetune leaves them out: a file that is missing, one that is no image, and the same file again, which counts once."""
    write_captioned_noise(tmp_path / "rows.jsonl", tmp_path / "photos")
    (tmp_path / "photos" / "0.png").write_bytes(b"no image")
    (tmp_path / "photos" / "3.png").unlink()
    (tmp_path / "photos" / "5.png").write_bytes((tmp_path / "photos" / "4.png").read_bytes())
    done = calibrate(model, tmp_path / "rows.jsonl", tmp_path / "new", "--json")
    assert done.returncode == 0, done.stderr
    notes = " ".join(json.loads(done.stdout)["notes"])
    assert (
        "2 left out: photos/0.png: it is no image, or in a format that cannot be read; photos/3.png: there is no file"
        in notes
    )
    assert "1 files are the same as others and count once with them, such as photos/5.png and photos/4.png" in notes
    assert "fitted on 129 images with 260 captions" in notes

    # What is too little once they are left out is said with the reasons.
    rows = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "few.jsonl").write_text("\n".join(rows[:101]), encoding="utf-8")
    done = calibrate(model, tmp_path / "few.jsonl", tmp_path / "none", "--json")
    refused = json.loads(done.stdout)["refused"]
    assert done.returncode == 2 and "few.jsonl has 98 images with captions, at least 100 are needed" in refused
    assert "Left out: photos/0.png: it is no image" in refused and "photos/5.png" in refused
    assert not (tmp_path / "none").exists()


def test_scores_are_fitted_on_what_servers_make_of_transparent_and_sixteen_bit_pictures(model, tmp_path):
    """The same scores as of opaque pictures of 8 bits that show what servers read: over white, and the high byte."""
    rng = np.random.default_rng(5)
    write_captioned_noise(tmp_path / "stored" / "rows.jsonl", tmp_path / "stored")
    write_captioned_noise(tmp_path / "read" / "rows.jsonl", tmp_path / "read")
    for number in range(0, 132, 2):
        colours, alpha = rng.integers(0, 256, (24, 24, 3)), rng.integers(0, 256, (24, 24, 1))
        grey = rng.integers(0, 2**16, (24, 24))
        name = f"{number}.png"
        if number % 4 == 0:
            stored = np.concatenate([colours, alpha], axis=2).astype(np.uint8)
            read = np.round((colours * alpha + 255 * (255 - alpha)) / 255)
        else:
            stored, read = grey.astype(np.uint16), grey // 256
        Image.fromarray(stored).save(tmp_path / "stored" / name)
        Image.fromarray(read.astype(np.uint8)).save(tmp_path / "read" / name)
    for kind in ("stored", "read"):
        done = calibrate(model, tmp_path / kind / "rows.jsonl", tmp_path / f"of-{kind}")
        assert done.returncode == 0, done.stderr
    found, expected = (
        json.loads((tmp_path / f"of-{kind}" / "manifest.json").read_text(encoding="utf-8"))
        for kind in ("stored", "read")
    )
    for fitted in ("calibration", "score_distributions", "search_verdicts"):
        assert found[fitted] == expected[fitted]
