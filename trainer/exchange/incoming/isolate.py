"""Whether a text side fits an isolate of Workers, which has 128 MiB for everything.

The engine that serves (api/text/wasm) has a linear memory for each tower, of fixed size: its weights, packed, and the workspace of the
longest text. The token table stays beside it as it is, and while a tower is opened the file of its weights is there, too. Besides there
are the JavaScript heap, and the model that answers until the new one is verified: of the size of the embedded one (docs/results.md).

Sizes are in MiB unless a name says otherwise.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.types import ImitateStudent, StudentTier
from exchange.incoming.clip_text import ClipTextShape
from exchange.refusal import CannotExpress
from towers.exported_files import MIB
from towers.student.model import StudentShape

ISOLATE_MIB = 128.0
OTHERS_MIB = {"heap": 20.0, "model before it": 41.0}

OTHER_TOWER = (
    "`npm run model -- import SOURCE --distil` trains a small text student on its vectors and serves that beside the checkpoint's own "
    "image tower; a checkpoint with a narrower or shallower text tower (TinyCLIP's) is served as it is"
)
SMALLER_STUDENTS = (
    "Students of fewer or narrower layers, or with a smaller vocabulary, do: imitate.student of the file that --recipe names has "
    "`tiers` with `layers`, `width` and `table_width`, and `vocabulary_size`"
)

PAGE, ALIGNMENT, RESERVED = 65_536, 64, 1024  # bytes, as api/text/wasm/kernels.ts lays memory out
CHUNK = 80  # rows that go through a layer's products together


@dataclass(frozen=True)
class Tower:
    """A text tower as the engine holds it; `weights` is the file that it is opened from."""

    table: float
    weights: float
    linear: float


@dataclass(frozen=True)
class EngineShape:
    """The sizes that decide a tower's linear memory, in numbers. `padded`: texts are filled up with rows of their own."""

    layers: int
    width: int
    hidden: int
    input_width: int
    heads: int
    tokens: int
    embed_dim: int
    padded: bool = False
    projection_bias: bool = False

    @staticmethod
    def of_student(shape: StudentShape) -> "EngineShape":
        """Of a text student."""
        width = shape.width
        return EngineShape(
            shape.layers, width, 4 * width, shape.table_width or width, shape.heads, shape.context_length, shape.embed_dim,
            projection_bias=True,
        )  # fmt: skip

    @staticmethod
    def of_clip(shape: ClipTextShape) -> "EngineShape":
        """Of a checkpoint's own tower."""
        return EngineShape(
            shape.layers, shape.width, shape.hidden, shape.width, shape.heads, shape.context_length, shape.embed_dim,
            shape.padding is not None, shape.projection_bias,
        )  # fmt: skip

    def matrices(self) -> list[tuple[int, int]]:
        """Rows and columns of a layer's int8 weights."""
        width, hidden = self.width, self.hidden
        return [(width, 3 * width), (width, width), (width, hidden), (hidden, width)]

    def places(self) -> list[int]:
        """Bytes of everything that has a place in linear memory: weights as `tower-memory.ts` packs them, then the workspace."""
        width, tokens, output = self.width, self.tokens, self.embed_dim
        packed = [rows * columns + 12 * columns + rows * columns // 64 for rows, columns in self.matrices()]
        norms = [4 * width] * 4
        extra = [4 * tokens * width] if self.padded else []
        extra += [4 * self.input_width * width] if self.input_width != width else []
        extra += [4 * output] if self.projection_bias else []
        rows = max(tokens, CHUNK)
        inner = max(self.hidden, width, self.input_width)
        packing = max(0, width * max(3 * width, self.hidden) - 16 * rows * width)
        rounded = -(-tokens // 8) * 8
        attention = 2 * (width // self.heads) * (2 * rounded + 4) + 16 * (rounded + 4)
        states = [4 * rows * width, 12 * rows * width + packing]
        chunk = [4 * CHUNK * width, 4 * CHUNK * inner, 2 * CHUNK * inner, 8 * CHUNK]
        return [
            4 * tokens * width, *extra, 4 * width, 4 * width, *(packed + norms) * self.layers, 4 * width * output,
            *states, *chunk, attention, 4 * width, 4 * output,
        ]  # fmt: skip

    def linear_bytes(self) -> int:
        """What the engine's `memoryBytes` is with this tower alone."""
        aligned = sum(-(-place // ALIGNMENT) * ALIGNMENT for place in self.places())
        return -(-(RESERVED + aligned) // PAGE) * PAGE


def check_isolate(shape: ClipTextShape) -> dict[str, float]:
    """The figures of a checkpoint's text tower in int8. Refuses one that a Worker's isolate cannot open, and says what does."""
    filling = 0 if shape.padding is None else shape.context_length
    blocks = shape.layers * (4 * shape.width**2 + 2 * shape.width * shape.hidden) / MIB
    floats = 4 * shape.width * (shape.context_length + filling + shape.embed_dim) / MIB
    linear = EngineShape.of_clip(shape).linear_bytes() / MIB
    return check_room([Tower(shape.vocabulary_size * shape.width / MIB, blocks + floats, linear)])


def check_students(student: ImitateStudent, embed_dim: int) -> dict[str, float]:
    """The figures of students that are to be trained, by the sizes that their files will have; refuses those that no isolate holds."""
    pieces, length = student["vocabulary_size"], student["context_length"]

    def held(tier: StudentTier) -> Tower:
        width, table = tier["width"], tier["table_width"]
        shape = StudentShape(pieces, tier["layers"], width, tier["heads"], length, embed_dim, [], table)
        floats = 4 * width * (length + embed_dim + (table if table != width else 0))
        return Tower(
            pieces * (table + 4) / MIB,
            (12 * tier["layers"] * width**2 + floats) / MIB,
            EngineShape.of_student(shape).linear_bytes() / MIB,
        )

    static = student["static"]["width"]
    return check_room(
        [held(tier) for tier in student["tiers"]],
        (pieces * (static + 4) + 4 * static * embed_dim) / MIB,
        SMALLER_STUDENTS,
    )


def check_room(towers: Iterable[Tower], static: float = 0.0, instead: str = OTHER_TOWER) -> dict[str, float]:
    """The figures of a text side with a static tier of so many MiB; refuses one that is too large, and says what does `instead`."""
    all_towers = list(towers)
    table, weights = sum(tower.table for tower in all_towers) + static, sum(tower.weights for tower in all_towers)
    own = table + sum(tower.linear for tower in all_towers) + max(tower.weights for tower in all_towers)
    needed = own + sum(OTHERS_MIB.values())
    if needed <= ISOLATE_MIB:
        return {"text.table_mib": table, "text.weights_mib": weights, "text.isolate_mib": needed}
    others = ", ".join(f"{name} {size:g}" for name, size in OTHERS_MIB.items())
    raise CannotExpress(
        f"the text tower has a table of {table:.1f} MiB and {weights:.1f} MiB of weights in int8. Opened in a Worker it takes "
        f"{own:.1f} MiB (weights twice while they are copied), with the others ({others}) {needed:.0f} of the {ISOLATE_MIB:g} MiB "
        f"of an isolate: it cannot be served there. {instead}"
    )
