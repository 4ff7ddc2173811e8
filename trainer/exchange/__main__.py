"""The command behind `npm run model -- export`, `import` and `calibrate`: models out, checkpoints in, scores fitted again."""

import argparse
import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from contracts.constants import EXIT_INTERRUPTED, FILE_MANIFEST
from contracts.types import Tier
from engine.failure import exit_code_of, words_given
from exchange.becoming import becoming
from exchange.refusal import CannotExpress

IMAGE = "image"  # in the place of a text tier: the image tower alone
FORMATS = ("hf", "onnx", "open_clip", "safetensors", "sentence-transformers")


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m exchange")
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export", help="write a model in the layout of another library")
    export.add_argument("model", type=Path, help=f"folder with {FILE_MANIFEST}")
    export.add_argument("--format", choices=FORMATS, required=True)
    export.add_argument("--to", type=Path, required=True, help="folder that is not there yet, or is empty")
    export.add_argument("--tier", default="", help=f"text tiers with commas, or {IMAGE}; absent: all")
    export.add_argument("--distill", type=Path, help="run of distill that the model was exported from")
    export.add_argument("--clip", type=Path, help="run of clip that the model was exported from")
    export.add_argument("--json", action="store_true", help="one JSON object instead of text")
    inward = commands.add_parser("import", help="make a model of a published checkpoint")
    inward.add_argument("source", type=Path, help="folder of transformers or open_clip, or a file of weights")
    inward.add_argument("--name", required=True)
    inward.add_argument("--model-version", default="1")
    inward.add_argument("--to", type=Path, required=True, help="folder that is not there yet, or is empty")
    inward.add_argument("--photos", type=Path, required=True, help="folder of pictures to measure with")
    inward.add_argument("--source-name", help="what the lineage says of the source (default: its name)")
    inward.add_argument("--architecture", help="open_clip's name, for a file of weights")
    inward.add_argument("--licence", default="not stated")
    inward.add_argument("--students", type=Path, help="finished run of imitate, served in place of its own text tower")
    inward.add_argument("--json", action="store_true", help="one JSON object instead of text")
    again = commands.add_parser("calibrate", help="fit scores and verdicts of a model again, without training")
    again.add_argument("model", type=Path, help=f"folder with {FILE_MANIFEST}")
    again.add_argument("--model-version", required=True)
    again.add_argument(
        "--images", type=Path, required=True, help="images with captions, in any form that finetune reads"
    )
    again.add_argument("--image-column", help="of a table (default: guessed among the usual names)")
    again.add_argument(
        "--caption-column", dest="caption_columns", type=names, help="of captions; several with commas between them"
    )
    again.add_argument("--class-column", help="of classes")
    again.add_argument("--to", type=Path, required=True, help="folder that is not there yet, or is empty")
    again.add_argument("--seed", type=int, default=1)
    again.add_argument("--json", action="store_true", help="one JSON object instead of text")
    looking = commands.add_parser("look", help="say how stage imitate opens a published checkpoint, or why it cannot")
    looking.add_argument("source", type=Path)
    looking.add_argument("--architecture")
    looking.add_argument("--features", type=Path)
    looking.add_argument("--language-model", type=Path)
    looking.add_argument("--student", help="block imitate.student of the recipe that is to be run, as JSON")
    looking.add_argument("--json", action="store_true", help="a refusal is one JSON object, too")
    featuring = commands.add_parser(
        "features", help="a language model's vectors of captions, for import --distil; goes on where it was stopped"
    )
    featuring.add_argument("--language-model", type=Path, required=True, help="folder in transformers' layout")
    featuring.add_argument(
        "--template", required=True, help="what a text is wrapped in, with the text at {}; {}: nothing"
    )
    featuring.add_argument("--add-bos", action="store_true", help="read the tokenizer's first token before each text")
    featuring.add_argument("--captions", type=Path, required=True, help="the file that import is given")
    featuring.add_argument("--max-tokens", type=int, default=512, help="tokens of a text that are read (default: 512)")
    featuring.add_argument("--to", type=Path, required=True, help="safetensors file that is not there yet")
    featuring.add_argument("--json", action="store_true", help="one JSON object instead of text")
    given = parser.parse_args(words_given())
    return exit_code_of(lambda: run(given), (CannotExpress,), as_json=given.json)


def run(given: argparse.Namespace) -> None:
    """Run a command. Raises CannotExpress for what a user can fix."""
    if given.command in ("export", "import", "calibrate") and is_taken(given.to):
        raise CannotExpress(f"{given.to} is there already: name another folder with --to, or remove it")
    if given.command in ("export", "import", "calibrate"):
        check_place(given.to)
    # Torch takes seconds to import: mistakes of the command line are told before.
    import towers  # noqa: F401  (makes transformers importable beside a CPU build of torch)

    commands = {
        "export": run_export,
        "import": run_import,
        "calibrate": run_calibrate,
        "look": run_look,
        "features": run_features,
    }
    commands[given.command](given)


def names(text: str) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in text.split(",")]


def is_taken(folder: Path) -> bool:
    """Whether something is there that would be lost."""
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def check_place(folder: Path) -> None:
    """Raise now what making the folder would raise when everything is computed."""
    there = next(parent for parent in folder.absolute().parents if parent.exists())
    if not there.is_dir():
        raise FileExistsError(errno.EEXIST, "not a folder", str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "not writable", str(there))


def run_calibrate(given: argparse.Namespace) -> None:
    """Write the model with scores that were fitted again."""
    from exchange.calibrate import Images, calibrate
    from towers.formats.item import Columns, FormatError

    images = Images(given.images, Columns.of(vars(given)))
    try:
        with becoming(given.to) as making:
            done = calibrate(given.model, making, version=given.model_version, images=images, seed=given.seed)
    except FormatError as error:
        raise CannotExpress(str(error)) from error
    name, version, metrics = done.manifest["name"], done.manifest["version"], done.manifest["metrics"]
    if given.json:
        print(
            json.dumps({"to": str(given.to), "name": name, "version": version, "metrics": metrics, "notes": done.notes})
        )
    else:
        figures = [f"  {figure} {value:.4f}" for figure, value in metrics.items() if ".verdict." in figure]
        print("\n".join([f"{given.to}: {name} {version}", *figures, *done.notes]))


def run_import(given: argparse.Namespace) -> None:
    """Write the folder of a model."""
    from exchange.incoming.take_in import ImportOptions, import_into

    options = ImportOptions(
        given.name,
        given.model_version,
        given.photos,
        given.source_name or given.source.name,
        given.licence,
        architecture=given.architecture,
        students=given.students,
    )
    manifest = import_into(given.source, given.to, options)
    metrics = manifest["metrics"]
    if given.json:
        print(json.dumps({"to": str(given.to), "name": manifest["name"], "metrics": metrics}))
    else:
        print(f"{given.to}: {manifest['name']}, {', '.join(f'{name} {value:.5g}' for name, value in metrics.items())}")


def run_look(given: argparse.Namespace) -> None:
    """Print `{checkpoint}`; refuses what could not be imported with students."""
    from exchange.incoming.teachable import Wanted, teachable

    student = None if given.student is None else json.loads(given.student)
    name = teachable(given.source, Wanted(given.architecture, given.features, given.language_model, student))
    print(json.dumps({"checkpoint": name}))


def run_features(given: argparse.Namespace) -> None:
    """Write what students of LLM2CLIP's image tower learn from."""
    from exchange.language_features import Wanted, write_features

    wanted = Wanted(given.language_model, given.template, given.add_bos, given.captions, given.max_tokens)
    written = write_features(wanted, given.to)
    print(json.dumps({"written": written}) if given.json else written)


def run_export(given: argparse.Namespace) -> None:
    """Write a model in the layout that was asked for."""
    from exchange.outgoing import as_hf, as_onnx, as_open_clip, as_safetensors, as_sentence_transformers
    from exchange.outgoing.floats import read_floats
    from exchange.outgoing.imports.layouts import write as write_imported
    from exchange.outgoing.imports.read import is_imported, read_imported
    from exchange.outgoing.page import page

    writers = {
        "hf": as_hf.write,
        "onnx": as_onnx.write,
        "open_clip": as_open_clip.write,
        "safetensors": as_safetensors.write,
        "sentence-transformers": as_sentence_transformers.write,
    }
    if is_imported(given.model):
        taken = read_imported(given.model)
        if given.tier:
            raise CannotExpress(f"--tier: {taken.name} was imported with its own text tower, and goes out whole")
        write_out(given, lambda making: write_imported(taken, given.format, making), taken.weights)
        return
    model = read_floats(given.model, given.distill, given.clip)
    there: list[Tier] = [*model.students, "static"]
    named = [word for word in given.tier.split(",") if word]
    if IMAGE in named and given.format not in ("hf", "onnx"):
        raise CannotExpress(f"--tier {IMAGE}: --format hf and --format onnx write the image tower alone")
    unknown = [tier for tier in named if tier not in (*there, IMAGE)]
    if unknown:
        raise CannotExpress(f"--tier: {model.manifest['name']} has no text tier {unknown[0]}, but {', '.join(there)}")
    tiers = [tier for tier in there if tier in named or not named]

    def write(making: Path) -> list[str]:
        written = writers[given.format](model, making, tiers)
        (making / "README.md").write_text(page(model, given.format, written, making), encoding="utf-8")
        return written

    write_out(given, write, model.weights)


def write_out(given: argparse.Namespace, write: Callable[[Path], list[str]], weights: str) -> None:
    """Call `write` with a folder that becomes the target, and say what it wrote."""
    with becoming(given.to) as making:
        written = write(making)
    if given.json:
        print(json.dumps({"to": str(given.to), "format": given.format, "written": written, "weights": weights}))
    else:
        print(f"{given.to}: {', '.join(written)}, as {given.format}. README.md says how to open it.\n{weights}")


if __name__ == "__main__":
    # Everything that is half written is removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_INTERRUPTED))
    sys.exit(main())
