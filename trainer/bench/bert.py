"""BERT of a given shape with random weights, as transformers.js reads one; for `npm run bench:engines -- --transformers`.

`python -m bench.bert FOLDER SHAPE` with SHAPE in JSON writes `config.json` and `onnx/model_quantized.onnx`: transformers' own model,
exported by PyTorch and its products quantised to int8 by ONNX Runtime, activations dynamically. What a weight is does not change how
long a product takes.
"""

import json
import sys
from pathlib import Path
from typing import Any

import towers  # noqa: F401 - makes torchvision, which transformers imports, importable beside a CPU build of torch

# isort: split
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import BertConfig, BertModel

INPUTS = ["input_ids", "attention_mask", "token_type_ids"]
OUTPUT = "last_hidden_state"
OPSET = 18


class States(torch.nn.Module):
    """Only the states, by positions: what a graph can have."""

    def __init__(self, bert: Any) -> None:
        """Holds the model."""
        super().__init__()
        self.bert = bert

    def forward(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, kinds_BT: torch.Tensor) -> torch.Tensor:
        """To states [B, T, C]."""
        inputs = dict(zip(INPUTS, (ids_BT, mask_BT, kinds_BT), strict=True))
        return self.bert(**inputs).last_hidden_state


def write(folder: Path, shape: dict[str, Any]) -> None:
    """`shape`: fields of BertConfig."""
    torch.manual_seed(0)
    config = BertConfig(**shape)
    bert = BertModel(config, add_pooling_layer=False).eval()
    ids_BT = torch.arange(16)[None]
    graphs = folder / "onnx"
    graphs.mkdir(parents=True)
    exact = graphs / "model.onnx"
    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        States(bert),
        (ids_BT, torch.ones_like(ids_BT), torch.zeros_like(ids_BT)),
        str(exact),
        input_names=INPUTS,
        output_names=[OUTPUT],
        dynamic_axes={name: axes for name in [*INPUTS, OUTPUT]},
        opset_version=OPSET,
        dynamo=False,
    )
    quantize_dynamic(exact, graphs / "model_quantized.onnx", per_channel=True, weight_type=QuantType.QInt8)
    exact.unlink()
    config.save_pretrained(folder)


if __name__ == "__main__":
    write(Path(sys.argv[1]), json.loads(sys.argv[2]))
