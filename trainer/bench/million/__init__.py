"""Pairs by the million through the stages that train on them, in memory that does not grow: `npm run bench:million`."""
