"""The trainer's library: models, losses, data and the run contract that every stage shares.

Importing any of it first makes torchvision importable beside a CPU build of torch: timm, transformers and peft need that.
"""

import towers.torchvision_shim  # noqa: F401
