"""How training is run, whatever is trained: ranks, the one loop, precision, checkpoints, random numbers."""
