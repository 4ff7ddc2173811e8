"""The folders of a job: what a stage may read, where weights are, and how its files are written and described."""
