"""Vectors of sets that do not fit into memory: files of rows, and exact ranks by tiles of their similarities."""
