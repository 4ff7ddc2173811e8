"""What a recipe measures of its own runs: stages `evaluate` and `compare`."""
