"""Training stages: each module is one straight-line job, started as `python -m stages.<name> job.json`."""
