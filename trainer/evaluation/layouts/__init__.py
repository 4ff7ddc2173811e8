"""Readers of the layouts in which benchmarks are published: a folder in, pictures and texts out, or a refusal that says what was expected."""
