"""The folders of a job: what a stage may read, and how its files are written and described."""
