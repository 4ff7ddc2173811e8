"""Searches an index that `npm run load` wrote with faiss itself: prints the nearest rows to the first one and their scores."""

import json
import sys

import faiss

path, kind = sys.argv[1:]
if kind == "binary":
    index = faiss.read_index_binary(path)
    stored = faiss.vector_to_array(index.xb).reshape(index.ntotal, -1)
else:
    index = faiss.read_index(path)
    stored = index.reconstruct_n(0, index.ntotal)
scores, rows = index.search(stored[:1], index.ntotal)
print(json.dumps({"count": index.ntotal, "rows": rows[0].tolist(), "scores": scores[0].tolist()}))
