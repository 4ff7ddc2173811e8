"""Finds the folder of a model by its name or path: a folder, a registry, or the model that the package carries."""

import hashlib
import os
import shutil
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from contracts import load as load_document
from contracts.constants import FILE_MANIFEST, FILE_POINTER
from contracts.types import Artefact
from engine.folders.files import digest_of_file, write_atomically
from engine.folders.temporary import temporary_of
from towers.exported_files import artefacts_in, read_manifest

REGISTRY = "MODEL_REGISTRY"  # the environment variable that servers read, too
CACHE = "XDG_CACHE_HOME"
HERE = Path(__file__).resolve().parent


def find_model(name: str | Path | None = None, registry: str | Path | None = None) -> Path:
    """The folder with `manifest.json` of a model.

    `name`: a folder, or a name in the registry; None: the embedded model. `registry`: a folder, or its file:// URI; None: what
    $MODEL_REGISTRY names, else `registry/` of the repository. Raises FileNotFoundError that says where it was looked for, and
    ValueError for a file that is not what the manifest says.
    """
    if name is None:
        return embedded_model()
    if (Path(name) / FILE_MANIFEST).is_file():
        return unaltered(Path(name))
    root = registry_folder(registry)
    if root is not None and (pointer := root / "models" / str(name) / FILE_POINTER).is_file():
        document = load_document("ModelPointer", pointer.read_text(encoding="utf-8"))
        return published_model(root, document["manifest"])
    embedded = embedded_model()
    own_name = read_manifest(embedded)["name"]
    if str(name) == own_name:
        return embedded
    there = [] if root is None else sorted(path.parent.name for path in (root / "models").glob(f"*/{FILE_POINTER}"))
    where = "no registry is there" if root is None else f"the registry {root} holds {', '.join(there) or 'no model'}"
    raise FileNotFoundError(
        f"{name} is no folder with {FILE_MANIFEST} and no model's name: {where}, and this package carries {own_name}"
    )


def unaltered(folder: Path) -> Path:
    """A folder of which no file is another than its manifest says. One that is missing is missed by whoever needs it."""
    for artefact in artefacts_in(read_manifest(folder)):
        file = folder / artefact["path"]
        if file.is_file() and f"sha256:{digest_of_file(file)}" != artefact["digest"]:
            raise ValueError(
                f"{file} is not what {FILE_MANIFEST} says: it was altered or cut short, copy the model again"
            )
    return folder


def embedded_model() -> Path:
    """The model that an installed package, or the repository, carries."""
    for folder in (HERE / "embedded", HERE.parents[1] / "api" / "model"):
        if (folder / FILE_MANIFEST).is_file():
            return folder
    raise FileNotFoundError(f"this installation carries no model: {HERE / 'embedded'} has no {FILE_MANIFEST}")


def registry_folder(registry: str | Path | None) -> Path | None:
    """The folder of a registry; None where none is named and the repository has none."""
    named = str(registry or os.environ.get(REGISTRY) or "")
    if not named:
        own = HERE.parents[1] / "registry"
        return own if own.is_dir() else None
    parts = urlsplit(named)
    if "://" not in named:
        return existing(Path(named))
    if parts.scheme != "file":
        raise ValueError(
            f"{named}: a model is opened from a folder. Copy the bucket first (`aws s3 sync {named} registry`), or write the "
            "model into a folder with `npm run model -- export`"
        )
    return existing(Path(unquote(parts.path)))


def existing(folder: Path) -> Path:
    """A registry that somebody named has to be there."""
    if not folder.is_dir():
        raise FileNotFoundError(f"the registry {folder} does not exist")
    return folder


def published_model(root: Path, digest: str) -> Path:
    """The files of a published model under their own names, verified; they are linked or copied once and kept.

    Bulk jobs keep what they download in the same place (api/bulk/hosts/cache-folder.ts). What is missing there by now, or is another
    file, is put there again.
    """
    hexadecimal = digest.removeprefix("sha256:")
    cache = Path(os.environ.get(CACHE) or Path.home() / ".cache") / "edge-clip" / hexadecimal
    source = root / "manifests" / "sha256" / f"{hexadecimal}.json"
    text = verified(source, digest).decode()
    if cache.is_dir():
        complete(root, text, cache)
        return cache
    cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Named before it exists: whoever is interrupted at the next line knows what to remove.
    making = temporary_of(cache)
    try:
        making.mkdir()
        complete(root, text, making)
        making.rename(cache)
    except OSError:
        if not (cache / FILE_MANIFEST).is_file():  # else another process was faster: the files are the same
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return cache


def complete(root: Path, text: str, folder: Path) -> None:
    """Put into a folder what it lacks of the files of a manifest, and the manifest, with that `text`, last."""
    for artefact in artefacts_in(load_document("ModelManifest", text)):
        path = PurePosixPath(artefact["path"])
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"the manifest names a file outside of its folder: {path}")
        if not holds(folder / path, artefact["digest"]):
            link_or_copy(root, artefact, folder)
    if not holds(folder / FILE_MANIFEST, f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"):
        write_atomically(folder / FILE_MANIFEST, text)


def holds(file: Path, digest: str) -> bool:
    """Whether a file is there and is the one of that digest."""
    return file.is_file() and f"sha256:{digest_of_file(file)}" == digest


def link_or_copy(root: Path, artefact: Artefact, folder: Path) -> None:
    """Put an artefact of a registry into a folder under the path that the manifest gives it, in one step."""
    source = root / "artefacts" / "sha256" / artefact["digest"].removeprefix("sha256:")
    data = verified(source, artefact["digest"])
    target = folder / artefact["path"]
    target.parent.mkdir(parents=True, exist_ok=True)
    # Never into a file that is there: it may be one with the registry's by a hard link.
    part = temporary_of(target)
    try:
        try:
            part.hardlink_to(source)
        except OSError:  # another disk
            part.write_bytes(data)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def verified(file: Path, digest: str) -> bytes:
    """The content of a file that is named by its digest."""
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: the registry is incomplete")
    data = file.read_bytes()
    found = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if found != digest:
        raise ValueError(f"{file} is not what its name says: it was altered or cut short (its digest is {found})")
    return data
