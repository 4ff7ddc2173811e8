"""Weights that a recipe names by a path, where this machine has them: a container fetches them from where a recipe was submitted to.

What stages write keeps the recipe's path, so that later ones, and a machine that has the folder itself, find it by that.
"""

import json
import os

from contracts.constants import ENV_WEIGHTS


def placed(name: str) -> str:
    """A path, or a name that ends with one behind `:` or `@`, with the path on this machine; any other name as it is."""
    for path, place in json.loads(os.environ.get(ENV_WEIGHTS, "{}")).items():
        start = name.removesuffix(path)
        if start != name and (start == "" or start.endswith((":", "@"))):
            return f"{start}{place}"
    return name
