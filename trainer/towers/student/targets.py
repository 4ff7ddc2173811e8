"""The teacher's vectors of what students learn from, computed when a batch first asks for them.

B targets, D width of the features, E joint dimension.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from data.features import Features

BLOCK = 512  # texts that the teacher is asked about together, always as many: the sums of a matrix product depend on it

Teacher = Callable[[torch.Tensor], torch.Tensor]  # features [B, D] to unit vectors [B, E]


class Targets:
    """Unit vectors by number: first those of sets of features, then means of them.

    What was computed once is read again from a file without a name. Which texts are asked for together changes no bit, so a
    resumed attempt, which starts with an empty file, has the vectors that the one before it had.
    """

    def __init__(
        self, folder: Path, sets: Sequence[Features], teacher: Teacher, width: int, means: Sequence[list[int]] = ()
    ) -> None:
        self.sets, self.teacher, self.width, self.means = sets, teacher, width, means
        self.starts = np.cumsum([0, *(len(features) for features in sets)])
        self.known = np.zeros(int(self.starts[-1]), dtype=bool)
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - as long as this object

    def __len__(self) -> int:
        """Targets."""
        return len(self.known) + len(self.means)

    def of(self, numbers: Sequence[int]) -> torch.Tensor:
        """The targets of these numbers [B, E], float32 on the CPU."""
        rows = [self.rows_of(number) for number in numbers]
        flat = np.array([row for some in rows for row in some], dtype=np.int64)
        different, place_of_row = np.unique(flat, return_inverse=True)
        self.compute(different[~self.known[different]])
        vectors_NE = torch.from_numpy(self.read(different))[place_of_row]
        if len(flat) == len(rows):
            return vectors_NE
        parts = vectors_NE.split([len(some) for some in rows])
        means_BE = torch.stack([part[0] if len(part) == 1 else part.mean(0) for part in parts])
        is_mean_B = torch.tensor([len(some) > 1 for some in rows])
        means_BE[is_mean_B] = F.normalize(means_BE[is_mean_B], dim=-1)
        return means_BE

    def rows_of(self, number: int) -> list[int]:
        """The rows of features whose vectors a target is the mean of."""
        return [number] if number < len(self.known) else self.means[number - len(self.known)]

    def compute(self, rows: np.ndarray) -> None:
        """Ask the teacher about these rows, and to fill the last block about some that are asked for later."""
        lacking = -len(rows) % BLOCK
        if lacking:
            others = self.known.copy()
            others[rows] = True
            rows = np.concatenate([rows, np.flatnonzero(~others)[:lacking]])
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            # Where too few are left, the first one is asked about again.
            vectors_BE = self.teacher(self.features(np.resize(block, BLOCK) if len(block) < BLOCK else block))
            for row, vector_E in zip(block.tolist(), vectors_BE.float().cpu().numpy(), strict=False):
                os.pwrite(self.file.fileno(), vector_E.tobytes(), row * self.width * 4)
            self.known[block] = True

    def features(self, rows_B: np.ndarray) -> torch.Tensor:
        """Features [B, D] of rows of all sets."""
        sets_B = np.searchsorted(self.starts, rows_B, side="right") - 1
        out_BD = torch.empty(len(rows_B), self.sets[0].width)
        for number in np.unique(sets_B).tolist():
            places = np.flatnonzero(sets_B == number)
            out_BD[places] = self.sets[number].gather_numbers(rows_B[places] - self.starts[number])
        return out_BD

    def read(self, rows_B: np.ndarray) -> np.ndarray:
        """Vectors [B, E] that are known."""
        size = self.width * 4
        data = b"".join(os.pread(self.file.fileno(), size, row * size) for row in rows_B.tolist())
        return np.frombuffer(bytearray(data), np.float32).reshape(len(rows_B), self.width)
