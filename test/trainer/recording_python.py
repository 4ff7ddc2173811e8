"""Stands in for the Python interpreter of `npm run train`: runs a stage and notes which keys of its configuration it reads.

`recording_python.py FILE -m stages.NAME job.json` appends one JSON line {present, read}, lists of paths such as
`clip.schedule.lr`, to FILE.
"""

import json
import runpy
import sys
from pathlib import Path

import contracts


class Recording(dict):
    """A configuration that notes the path of every key that is asked of it; writing it as JSON does not count."""

    def __init__(self, values, path, read):
        super().__init__({key: recording(value, f"{path}.{key}", read) for key, value in values.items()})
        self.path, self.noted = path, read

    def __getitem__(self, key):
        self.noted.add(f"{self.path}.{key}")
        return super().__getitem__(key)

    def get(self, key, default=None):
        self.noted.add(f"{self.path}.{key}")
        return super().get(key, default)

    def __iter__(self):  # without it, `**config` would copy the values past __getitem__
        return super().__iter__()

    def items(self):
        if Path(sys._getframe(1).f_code.co_filename).parent.name != "json":
            self.noted.update(f"{self.path}.{key}" for key in self)
        return super().items()


def recording(value, path, read):
    if isinstance(value, dict):
        return Recording(value, path, read)
    return [recording(item, f"{path}[]", read) for item in value] if isinstance(value, list) else value


def paths(value, path):
    """The path of every key below a value."""
    if isinstance(value, dict):
        return {f"{path}.{key}" for key in value}.union(*(paths(item, f"{path}.{key}") for key, item in value.items()))
    return set().union(*(paths(item, f"{path}[]") for item in value)) if isinstance(value, list) else set()


def main():
    file, _, module, job = sys.argv[1:]
    load, present, read = contracts.load, set(), set()

    def load_recording(name, text):
        document = load(name, text)
        if name == "TrainingJob":
            stage = document["config"]["stage"]
            present.update(paths(document["config"], stage))
            document["config"] = recording(document["config"], stage, read)
        return document

    contracts.load = load_recording
    sys.argv = [module, job]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        with Path(file).open("a") as lines:
            lines.write(json.dumps({"present": sorted(present), "read": sorted(read)}) + "\n")


if __name__ == "__main__":
    main()
