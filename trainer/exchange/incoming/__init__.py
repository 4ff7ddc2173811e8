"""Published checkpoints, made models that are served: a file for each layout."""
