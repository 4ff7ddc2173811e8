"""The columns of `npm run systems` but the service: every system's tiny twin through this repository's own stages and commands."""
