"""Captions and other texts for the teachers: which there are, and their features shard by shard."""
