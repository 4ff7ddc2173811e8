"""What the papers behind the recipe claim, asked of runs of its variants."""
