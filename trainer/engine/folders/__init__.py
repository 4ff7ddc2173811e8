"""The folders of a job: what a stage may read, where weights are, what an attempt left, and how files are written and described."""
