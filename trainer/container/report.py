"""What a report promises, held against the files that are there."""

from collections.abc import Mapping

from contracts import ContractError, load

REPORT = "report.json"


class ReportError(ValueError):
    """A report that is not one, or that names what is not there."""


def digests_of(report: bytes, sizes: Mapping[str, int]) -> dict[str, str]:
    """Path to digest of every artefact; each must be there with its size. `sizes`: of all files beside the report."""
    try:
        document = load("TrainingReport", report.decode("utf-8"))
    except (ContractError, UnicodeDecodeError) as error:
        raise ReportError(f"report.json is refused: {error}") from error
    if document["status"] != "succeeded":
        raise ReportError(f"report.json says {document['status']}")
    for artefact in document["artefacts"].values():
        path, wanted, found = artefact["path"], artefact["size"], sizes.get(artefact["path"])
        if found is None:
            raise ReportError(f"{path} is missing, which report.json names")
        if found != wanted:
            raise ReportError(f"{path} has {found} bytes, report.json says {wanted}")
    return {artefact["path"]: artefact["digest"] for artefact in document["artefacts"].values()}
