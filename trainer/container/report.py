"""Checks a stage's report against the files beside it."""

from collections.abc import Mapping

from contracts import ContractError, load
from contracts.constants import FILE_REPORT


class ReportError(ValueError):
    """A report that is not valid, or that names a missing file."""


def digests_of(report: bytes, sizes: Mapping[str, int]) -> dict[str, str]:
    """Path to digest of every artefact, each of which must exist with its size. `sizes`: all files beside the report."""
    try:
        document = load("TrainingReport", report.decode("utf-8"))
    except (ContractError, UnicodeDecodeError) as error:
        raise ReportError(f"{FILE_REPORT} is refused: {error}") from error
    if document["status"] != "succeeded":
        raise ReportError(f"{FILE_REPORT} says {document['status']}")
    for artefact in document["artefacts"].values():
        path, expected, found = artefact["path"], artefact["size"], sizes.get(artefact["path"])
        if found is None:
            raise ReportError(f"{path} is missing, which {FILE_REPORT} names")
        if found != expected:
            raise ReportError(f"{path} has {found} bytes, {FILE_REPORT} says {expected}")
    return {artefact["path"]: artefact["digest"] for artefact in document["artefacts"].values()}
