"""Measurements of training, each a module to run: `python -m bench.losses --json` in the folder `trainer`."""
