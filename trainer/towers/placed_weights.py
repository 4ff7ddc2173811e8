"""Weights that a recipe names by a path, where this machine has them: a container fetches them from where a recipe was submitted to.

What stages write keeps the recipe's path, so that later ones, and a machine that has the folder itself, find it by that.
"""

import json
import os

from contracts.constants import ENV_WEIGHTS

LOCAL = "local-dir:"  # before a path in names of timm and open_clip


def placed(name: str) -> str:
    """A path, or a name that ends with one, with the path on this machine; any other name as it is."""
    start, mark, path = name.rpartition(LOCAL)
    return f"{start}{mark}{json.loads(os.environ.get(ENV_WEIGHTS, '{}')).get(path, path)}"
