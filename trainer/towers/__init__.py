"""The trainer's library: models, losses, data and the run contract that every stage shares."""
