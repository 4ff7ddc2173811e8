"""Makes `import torchvision` work beside a CPU build of torch; import this before timm, transformers or peft.

The published torchvision wheels are CUDA builds: beside a CPU torch their compiled operators are missing, and the import
fails when it registers gradients for `nms`. Declaring the two operators first is enough; nothing here calls them.
"""

import torch

if not torch.version.cuda:
    LIBRARY = torch.library.Library("torchvision", "DEF")
    LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    LIBRARY.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
