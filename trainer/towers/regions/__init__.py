"""Parts of pictures that phrases describe: where they are in a crop, what a tower makes of them, and their texts."""
