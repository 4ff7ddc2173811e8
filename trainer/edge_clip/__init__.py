"""One call from texts and images to vectors: `load("edge-clip-small").embed(texts=[…], images=[…])`.

Vectors are those that the API serves: on a CPU the served int8 graphs themselves in ONNX Runtime, on a GPU the same rounding in
PyTorch, many texts at a time.
"""

from edge_clip.locate import find_model
from edge_clip.model import Model, Vectors, load

__all__ = ["Model", "Vectors", "find_model", "load"]
