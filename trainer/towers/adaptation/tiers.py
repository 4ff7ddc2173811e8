"""The text tiers of an exported model as modules that train, and the files that they become again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from contracts.types import ModelManifest, Tier
from towers.exported_files import FILE_OF, text_towers, write_static, write_tower
from towers.from_model import student_from_graph
from towers.served_text import table_of
from towers.student.model import StaticStudent, TextStudent
from towers.token_batches import padded
from towers.wordpiece import WordPiece, with_special_tokens

STATIC_SCRATCH_STD = 0.02
TOGETHER = 24  # texts of similar length in one batch


class TextSide:
    """Transformers and static table of a model over one vocabulary. Texts go in as tokens without special ones."""

    def __init__(self, folder: Path, manifest: ModelManifest) -> None:
        if "static" not in manifest:
            raise ValueError(
                f"{manifest['name']} has no static tier: it is an imported model, not one that this trainer exported"
            )
        text, static, dims = manifest["text"], manifest["static"], manifest["matryoshka_dims"]
        self.wordpiece = WordPiece.read(folder / text["tokenizer"]["vocabulary"]["path"])
        self.context_length, self.opset, self.dims = text["context_length"], text["graph"]["opset"], dims
        projection = torch.from_numpy(table_of(folder, static["projection"])) if "projection" in static else None
        self.static = StaticStudent(torch.from_numpy(table_of(folder, static["table"])), projection)
        self.transformers: dict[Tier, TextStudent] = {}
        for tier, tower in text_towers(manifest).items():
            rows_VK = table_of(folder, tower["table"])
            graph, weight = tower["graph"]["file"]["path"], tower.get("static_weight", 0.0)
            self.transformers[tier] = student_from_graph(folder, graph, rows_VK, dims, weight)
            self.transformers[tier].add_static(self.static)

    def start_from_scratch(self) -> None:
        """The control: the same shapes with random weights."""
        for parameter in self.static.parameters():
            nn.init.normal_(parameter, std=STATIC_SCRATCH_STD)
        for tier, student in self.transformers.items():
            self.transformers[tier] = TextStudent(student.shape)
            self.transformers[tier].add_static(self.static)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids without special tokens, cut to what a transformer reads."""
        return [row[: self.context_length - 2] for row in self.wordpiece.tokens(texts)]

    def vectors(
        self, tokens: Sequence[list[int]], device: torch.device, dtype: torch.dtype
    ) -> dict[Tier, torch.Tensor]:
        """Unit vectors [T, E] of every tier, with gradients; matrices are multiplied in `dtype`."""
        # Descriptions are many times as long as names: padded together, most of a batch would be padding.
        ids = [with_special_tokens(row, self.context_length) for row in tokens]
        order = sorted(range(len(ids)), key=lambda n: len(ids[n]))
        groups = [order[start : start + TOGETHER] for start in range(0, len(order), TOGETHER)]
        place = torch.tensor(order, device=device).argsort()
        found: dict[Tier, torch.Tensor] = {}
        for tier, student in self.transformers.items():
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                parts = [student(*padded([ids[n] for n in group], device)).float() for group in groups]
            found[tier] = torch.cat(parts)[place]
        found["static"] = self.static(tokens)
        return found

    @torch.no_grad()
    def fixed_vectors(self, tokens: Sequence[list[int]]) -> dict[Tier, torch.Tensor]:
        """The same without gradients, for any number of texts."""
        ids = [with_special_tokens(row, self.context_length) for row in tokens]
        found: dict[Tier, torch.Tensor] = {tier: each.embed(ids) for tier, each in self.transformers.items()}
        found["static"] = self.static(tokens).cpu()
        return found

    def modules(self) -> list[nn.Module]:
        """All that is trained."""
        return [*self.transformers.values(), self.static]

    def write(self, out: Path) -> dict[str, Any]:
        """Write graphs and tables; returns what the manifest says of them by its keys: `text`, `tiny`, `static`."""
        for module in self.modules():
            module.cpu().eval()
        towers = {
            FILE_OF[tier]: write_tower(out, each, FILE_OF[tier], self.opset) for tier, each in self.transformers.items()
        }
        return {**towers, "static": write_static(out, self.static)}
