"""What `export` makes of a run: graphs and tables, served vectors and how near they are to PyTorch, scores, the manifest."""
