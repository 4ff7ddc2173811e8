"""Weights that a recipe names by a path: a container has fetched them, and what stages write keeps the recipe's path."""

from collections.abc import Mapping

_places: dict[str, str] = {}


def know_places(places: Mapping[str, str]) -> None:
    """From now on weights are there, by the path that the recipe names them by."""
    _places.clear()
    _places.update(places)


def placed(name: str) -> str:
    """A path, or a name that ends with one behind `:` or `@`, with the path on this machine; any other name as it is."""
    for path, place in _places.items():
        start = name.removesuffix(path)
        if start != name and (start == "" or start.endswith((":", "@"))):
            return f"{start}{place}"
    return name
