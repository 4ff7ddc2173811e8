"""`python -m towers.adaptation.inspect REQUEST`: how a user's data are read, as one JSON document; 2 and a sentence if not."""

import json
import sys
from pathlib import Path
from typing import cast

from contracts.constants import EXIT_OK, EXIT_USAGE
from contracts.types import OwnData
from towers.adaptation.own_data import read_own, to_json
from towers.formats.item import FormatError


def main() -> int:
    """REQUEST is JSON: the data folder `root`, the `seed`, and `own` as stage `adapt` has it."""
    request = json.loads(sys.argv[1])
    try:
        print(to_json(read_own(Path(request["root"]), cast(OwnData, request["own"]), request["seed"])))
    except FormatError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
