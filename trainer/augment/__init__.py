"""More captions for little data: asks a language model for texts about classes and images, and keeps what is usable."""

import towers.torchvision_shim  # noqa: F401  (before anything imports transformers)
