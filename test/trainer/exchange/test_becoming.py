"""A folder that an export, an import or a calibration writes: whole or not at all, whatever else happens to its place."""

import os
from pathlib import Path

import pytest

from exchange.becoming import becoming
from exchange.refusal import CannotExpress


def names(folder: Path) -> list[str]:
    """What is in a folder, hidden ones too."""
    return sorted(os.listdir(folder))


def test_of_two_writers_of_a_folder_the_second_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(CannotExpress, match="out was filled meanwhile: name another folder"),
        becoming(tmp_path / "out") as second,
    ):
        (second / "model").write_text("second")
        with becoming(tmp_path / "out") as first:
            (first / "model").write_text("first")
    assert (tmp_path / "out/model").read_text() == "first"
    assert names(tmp_path) == ["out"]


def test_an_empty_folder_behind_a_link_is_filled(tmp_path: Path) -> None:
    (tmp_path / "disk/empty").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "disk/empty")
    with becoming(tmp_path / "out") as making:
        (making / "model").write_text("")
    assert names(tmp_path / "disk/empty") == ["model"] and names(tmp_path / "disk") == ["empty"]
    assert (tmp_path / "out").is_symlink()


def test_an_empty_volume_is_filled_and_its_parent_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = tmp_path / "out"
    volume.mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path == volume)
    with becoming(volume) as making:
        assert names(tmp_path) == ["out"]
        (making / "image").mkdir()
        (making / "model").write_text("")
    assert names(volume) == ["image", "model"]


def test_files_have_the_rights_that_new_files_have(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with becoming(tmp_path / "out") as making:
            (making / "image").mkdir(0o700)
            (making / "image/model").touch(0o600)
    finally:
        os.umask(before)
    found = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]}
    assert found == {"out": 0o750, "image": 0o750, "model": 0o640}


def test_after_an_error_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(KeyError), becoming(tmp_path / "out") as making:
        (making / "model").write_text("")
        raise KeyError
    assert names(tmp_path) == []


def test_one_that_is_interrupted_as_its_folder_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def interrupted(path: Path, mode: int = 0o777, **named: bool) -> None:
        make(path, mode, **named)
        if path != tmp_path:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt), becoming(tmp_path / "out"):
        pytest.fail("it went on")
    assert names(tmp_path) == []
