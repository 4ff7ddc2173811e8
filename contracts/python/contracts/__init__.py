"""Documents that cross the language border, checked against the JSON Schema that TypeScript generated."""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

HERE = Path(__file__).resolve().parent
# An installed package carries the schemas; the repository has them beside the code.
SCHEMAS = HERE / "schema" if (HERE / "schema").is_dir() else HERE.parents[1] / "schema"


class ContractError(ValueError):
    """A document that is not what its name says; the message names the place and the reason."""


def load(name: str, text: str) -> dict[str, Any]:
    """Parse and validate one document, e.g. `load("TrainingJob", text)`; raises ContractError."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ContractError(f"{name}: not JSON (line {error.lineno}: {error.msg})") from error
    problem = problem_of(name, document)
    if problem is not None:
        problem = in_the_branch_meant(problem)
        raise ContractError(f"{name}, {problem.json_path}: {problem.message}")
    return document


def problem_of(name: str, document: Any) -> "ValidationError | None":
    """What says most of why it is none, or None."""
    # Imported where documents are checked: a machine that only trains may lack it (trainer/gpu_check).
    from jsonschema.exceptions import best_match

    return best_match(validator(name).iter_errors(document))


def in_the_branch_meant(problem: "ValidationError") -> "ValidationError":
    """The problem inside a union's branch, where one branch alone has the constants (a stage's name) of the document."""
    from jsonschema.exceptions import best_match

    while problem.context:
        branches: dict[object, list[ValidationError]] = {}
        for inner in problem.context:
            branches.setdefault(inner.relative_schema_path[0], []).append(inner)
        meant = [errors for errors in branches.values() if all(error.validator != "const" for error in errors)]
        deeper = best_match(meant[0]) if len(meant) == 1 else None
        if deeper is None:
            break
        problem = deeper
    return problem


@cache
def validator(name: str) -> "Draft202012Validator":
    """The validator of a document type."""
    from jsonschema import Draft202012Validator

    file = SCHEMAS / f"{name}.json"
    if not file.exists():
        raise ContractError(f"no document type is called {name}")
    return Draft202012Validator(json.loads(file.read_text(encoding="utf-8")))
