"""Holds one Python client: reads a case per line, does it, writes the answer."""

import importlib
import json
import sys

FAMILY, ADAPTER = sys.argv[1:3]
#: Errors and waiting are brought about by the same call as a list.
SAME_AS_LIST = {"error": "list", "key": "list", "busy": "list"}


def perform(task: dict) -> object:
    if task["case"] == "documented":
        names: dict = {}
        exec("\n".join(task["lines"]), names)
        return eval(task["vector"], names)
    family = importlib.import_module(f"families.{FAMILY}")
    client = getattr(family, ADAPTER)(task)
    operation = SAME_AS_LIST.get(task["case"], task["case"])
    if operation not in client:
        raise NotImplementedError(f"{ADAPTER} has no {operation}")
    return client[operation](task)


def plain(value: object) -> object:
    """NumPy's arrays and numbers as JSON has them."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


for line in sys.stdin:
    try:
        answer = {"value": perform(json.loads(line))}
    except Exception as error:
        answer = {"error": str(error) or repr(error)}
    print(f"@@{json.dumps(answer, default=plain)}", flush=True)
