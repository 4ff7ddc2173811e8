"""Python accepts and refuses the same documents as TypeScript, through the generated schemas."""

from pathlib import Path

import pytest

from contracts import SCHEMAS, ContractError, load

VECTORS = Path(__file__).resolve().parents[2] / "contracts" / "vectors"
OF_THE_API = ("openapi", "routes")  # no schemas of a document
TYPES = sorted(file.stem for file in SCHEMAS.glob("*.json") if file.stem not in OF_THE_API)
CASES = [
    (name, kind, file) for name in TYPES for kind in ("valid", "invalid") for file in (VECTORS / name / kind).iterdir()
]


@pytest.mark.parametrize(("name", "kind", "file"), CASES, ids=[f"{n}-{k}-{f.stem}" for n, k, f in CASES])
def test_examples(name, kind, file):
    text = file.read_text(encoding="utf-8")
    if kind == "valid":
        assert load(name, text)
    else:
        with pytest.raises(ContractError, match=name):
            load(name, text)


def test_a_broken_document_names_its_line():
    with pytest.raises(ContractError, match="line 2"):
        load("TrainingJob", "{\n,")


def test_an_unknown_type_is_named():
    with pytest.raises(ContractError, match="Nonsense"):
        load("Nonsense", "{}")


def test_a_wrong_key_in_a_stage_is_named_where_it_stands():
    with pytest.raises(ContractError, match=r"\$\.config\.schedule: .*'epochs' was unexpected"):
        load("TrainingJob", (VECTORS / "TrainingJob" / "invalid" / "unknown-schedule-key.json").read_text())
