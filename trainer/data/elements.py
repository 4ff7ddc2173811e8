"""One element of `prepare`: reads its samples, drops what is unusable, writes shards, rows and, last, its report.

An element depends on no other one. The same function runs in a pool of processes on this machine and in a child of an
array job; one whose report exists is not run again.
"""

import glob
import io
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import numpy as np
from PIL import Image

from contracts.constants import ELEMENTS
from contracts.types import Artefact
from data.copies import Copy, CopyProcess, copy_command
from data.doubles import COLUMNS, full_key, hashes_of
from data.plan import Element, Plan
from data.prepared.details import kept_details
from data.prepared.languages import is_wanted, language_of
from engine.failure import outcome_of, result_of
from engine.folders.files import artefact
from towers.data import Row, write_rows
from towers.formats.details import REGIONS
from towers.formats.places import bare_name, format_of
from towers.labels import is_held_out
from towers.preprocess import upright_size
from towers.regions.seen import SIZE
from towers.samples import Sample, Source
from towers.shards import ShardWriter, stored_image
from towers.text.unicode import composed
from towers.text_rows import captions_by_key

FOLDER = ELEMENTS  # of what the elements leave for the join


class ElementReport(TypedDict):
    """`elements/NNNNN.json`: what one element wrote; its presence means that the element is finished."""

    element: int
    images: int
    tars: dict[str, Artefact]  # by split
    dropped: int
    seconds: float  # of a whole machine: what an element of four processes at work took counts as a quarter
    in_array: bool  # made by a child of an array job


class Maker(NamedTuple):
    """Who makes elements: so many processes side by side, of a child of an array job or of the one job."""

    processes: int = 1
    in_array: bool = False


ALONE = Maker()


def report_file(out: Path, number: int) -> Path:
    """The report of an element."""
    return out / FOLDER / f"{number:05d}.json"


def rows_file(out: Path, number: int) -> Path:
    """The rows of an element: {split, row, name}, in order; `name` is the image's own in the file of the element."""
    return out / FOLDER / f"{number:05d}.jsonl"


def drops_file(out: Path, number: int) -> Path:
    """What an element left out: {source, key, reason, count?}."""
    return out / FOLDER / f"{number:05d}.dropped.jsonl"


def hashes_file(out: Path, number: int) -> Path:
    """The hashes of an element's images, uint64 [N, 4], row by row."""
    return out / FOLDER / f"{number:05d}.npy"


def shard_name(split: str, number: int) -> str:
    """The name of an element's shard, without ending."""
    return f"pairs.{split}-{number:05d}"


def read_report(out: Path, number: int) -> ElementReport | None:
    """The report of an element, None where it is not finished."""
    try:
        return cast(ElementReport, json.loads(report_file(out, number).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def run_element(plan: Plan, element: Element, out: Path, maker: Maker = ALONE) -> ElementReport:
    """Run an element unless it is finished; what an interrupted attempt left is written again."""
    done = read_report(out, element.number)
    if done is not None:
        return done
    started = time.monotonic()
    (out / FOLDER).mkdir(parents=True, exist_ok=True)
    source = plan.sources[element.source]
    brought = bring_tars(plan, element)
    writers: dict[str, ShardWriter] = {}
    rows: list[Row] = []
    hashes: list[tuple[int, int, int, int]] = []
    drops: list[Row] = list(not_downloaded(plan.data, element, source))
    for sample in plan.samples(element):
        split = split_of(sample, source, plan.held_out)
        reason, image, kept = checked(sample, source, plan)
        if split is None:
            reason, image = "label held out by another source", None
        at = {"source": source.path, "key": sample.key}
        if reason is not None:
            drops.append(at | {"reason": reason})
        if image is None or split is None:
            continue
        if split not in writers:
            writers[split] = ShardWriter(out / f"{shard_name(split, element.number)}.tar")
        place = writers[split].add(full_key(source, sample.key), image)
        about, unusable = row_of(sample, image, kept, plan.caption_chars[1])
        translated = captions_in_other_languages(plan.data, source, sample.key)
        row = {"key": sample.key, "shard": writers[split].file.name, "place": place} | about | translated
        rows.append({"split": split, "row": row, "name": sample.name or sample.key})
        drops += [at | {"reason": reason, "count": count} for reason, count in unusable.items()]
        hashes.append(hashes_of(source, sample.key, image, near=plan.hashes))
    for writer in writers.values():
        writer.close()
    write_rows(rows_file(out, element.number), rows)
    write_rows(drops_file(out, element.number), drops)
    np.save(hashes_file(out, element.number), np.array(hashes, dtype=np.uint64).reshape(-1, COLUMNS))
    report: ElementReport = {
        "element": element.number,
        "images": len(rows),
        "tars": {split: artefact(out, writer.file.name) for split, writer in writers.items()},
        "dropped": len(drops),
        "seconds": (time.monotonic() - started) / maker.processes,
        "in_array": maker.in_array,
    }
    temporary = report_file(out, element.number).with_suffix(".json.tmp")
    temporary.write_text(json.dumps(report), encoding="utf-8")
    os.replace(temporary, report_file(out, element.number))
    for tar in brought:
        # Only this element reads it: the disk holds the tars of the elements at work.
        os.truncate(tar, 0)
    return report


def bring_tars(plan: Plan, element: Element) -> list[Path]:
    """Copy the tars of an element that were left in the store; those that no other element reads."""
    if plan.remote is None:
        return []
    file, source = plan.data / element.path, plan.sources[element.source]
    is_tar = source.format != "labelled"
    tars = [file] if is_tar else sorted(file.parent.glob(f"{glob.escape(bare_name(file))}*"))
    missing = [tar for tar in tars if format_of(tar) == "tar" and tar.stat().st_size == 0]
    if missing:
        with CopyProcess(copy_command(plan.remote)) as copy:
            for tar in missing:
                bring_tar(copy, plan, tar)
    return missing if is_tar else []


def bring_tar(copy: Copy, plan: Plan, tar: Path) -> None:
    """Put a whole tar in the place of an empty one; other processes see the one or the other."""
    with tempfile.NamedTemporaryFile(dir=tar.parent, prefix=f".{tar.name}-", delete=False) as temporary:
        try:
            copy(tar.relative_to(plan.data).as_posix(), Path(temporary.name))
            os.replace(temporary.name, tar)
        except OSError as error:
            Path(temporary.name).unlink(missing_ok=True)
            raise OSError(f"{tar.name} cannot be copied from {plan.remote}: {error}") from error


def checked(sample: Sample, source: Source, plan: Plan) -> tuple[str | None, bytes | None, list[int]]:
    """(why something was dropped, image bytes to keep or None, numbers of the captions to keep)."""
    try:
        data = sample.load()
    except OSError as error:
        return f"missing image: {error}", None, []
    if source.only_open and sample.about.get("open") is not True:
        return "not under an open licence", None, []
    low, high = plan.caption_chars
    captions = sample.every_caption
    first = {caption: number for number, caption in reversed(list(enumerate(captions)))}
    kept = sorted(number for caption, number in first.items() if low <= len(caption) <= high)
    if not kept:
        return "no usable caption", None, []
    fitting = kept
    if plan.languages is not None:
        tags = {number: language_of(captions[number], source.language) for number in kept}
        kept = [number for number in kept if is_wanted(tags[number], plan.languages)]
    if not kept:
        found = language_of(captions[fitting[0]], source.language)
        return f"no caption in a wanted language: {found}", None, []
    image, reason = stored_image(data, plan.limits)
    if image is None:
        return reason, None, []
    unusable = any(not low <= len(caption) <= high for caption in captions)
    if not unusable and len(kept) < len(fitting):
        return "caption in another language", image, kept
    return ("caption too short or too long" if unusable else None), image, kept


def split_of(sample: Sample, source: Source, held_out: float) -> str | None:
    """The split of an image: its source's, `unseen` for a label that is held out, None where another source holds it out."""
    label = sample.about.get("label")
    if source.split != "train" or label is None or not is_held_out(label, held_out):
        return source.split
    return "unseen" if is_held_out(label, source.hold_out_labels) else None


def row_of(sample: Sample, image: bytes, kept: list[int], longest: int) -> tuple[Row, dict[str, int]]:
    """What a row says of a sample beside its place, and how many of its details are unusable, by reason."""
    row: Row = {"captions": [sample.caption(number) for number in kept]}
    if sample.roles is not None:
        row["roles"] = [sample.roles[number] for number in kept]
    details, unusable = kept_details(sample.details, sample.every_caption, longest)
    row |= sample.about | details
    if REGIONS in details:
        row[SIZE] = upright_size(Image.open(io.BytesIO(image)))
    return row, unusable


def captions_in_other_languages(data: Path, source: Source, key: str) -> Row:
    """`tr` of a row: the translated captions of that image, by language; nothing where it has none."""
    translated = translated_captions(data, source.translated)
    key = composed(key)
    tr = {language: texts[key] for language, texts in translated.items() if key in texts}
    return {"tr": tr} if tr else {}


@lru_cache(maxsize=2)
def translated_captions(data: Path, files: tuple[tuple[str, str], ...]) -> dict[str, Mapping[str, list[str]]]:
    """By language and key, the captions of a source's images in other languages."""
    return {language: captions_by_key(data / path) for language, path in files}


def not_downloaded(data: Path, element: Element, source: Source) -> Iterator[Row]:
    """What img2dataset says in NAME_stats.json about addresses of NAME.tar that gave no image, by reason."""
    tar = data / element.path
    stats = tar.with_name(f"{bare_name(tar)}_stats.json")
    if source.format != "webdataset" or not stats.is_file():
        return
    status: dict[str, Any] = json.loads(stats.read_text(encoding="utf-8")).get("status_dict", {})
    for reason, count in Counter(status).most_common():
        if reason != "success":
            yield {"source": source.path, "key": bare_name(tar), "reason": f"not downloaded: {reason}", "count": count}


def run_elements(plan: Plan, numbers: list[int], out: Path, most: Maker) -> Iterator[ElementReport]:
    """Run elements in as many processes at most, or here if that is one; reports in the order in which they are finished."""
    left = [number for number in numbers if read_report(out, number) is None]
    yield from (cast(ElementReport, read_report(out, number)) for number in numbers if number not in set(left))
    workers = min(most.processes, len(left))
    maker = most._replace(processes=max(workers, 1))
    if workers <= 1:
        yield from (run_element(plan, plan.elements[number], out, maker) for number in left)
        return
    # Forked, because a fresh interpreter would take longer than most elements; nothing else runs in this process yet.
    pool = ProcessPoolExecutor(workers, get_context("fork"))
    try:
        pending: set[Future[ElementReport | Exception]] = set()
        waiting = iter(left)
        while True:
            # A few at a time: a stop has to wait for those that are at work only.
            while len(pending) < 2 * workers and (number := next(waiting, None)) is not None:
                pending.add(pool.submit(run_numbered, plan, number, out, maker))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (result_of(future.result()) for future in done)
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"one of {workers} processes of prepare was killed, most likely for memory: run it again, elements that are "
            "finished are kept; with smaller shards or tars an element needs less"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def run_numbered(plan: Plan, number: int, out: Path, maker: Maker) -> ElementReport | Exception:
    """`run_element` for a process of the pool."""
    return outcome_of(lambda: run_element(plan, plan.elements[number], out, maker))
