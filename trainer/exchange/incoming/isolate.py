"""Whether a text side fits an isolate of Workers, which has 128 MiB for everything.

Beside the model that is opened there are the runtime's WebAssembly memory before any model, a run's activations (both:
docs/results.md), the JavaScript heap, and the embedded model, which answers until the new one is verified. A table stays as it
is; weights are there twice while a session copies them.
"""

from exchange.incoming.clip_text import ClipTextShape
from exchange.refusal import CannotExpress
from towers.exported_files import MIB

ISOLATE_MIB = 128.0
OTHERS_MIB = {"runtime": 11.0, "run": 8.0, "heap": 20.0, "embedded model": 26.0}


def check_isolate(shape: ClipTextShape) -> dict[str, float]:
    """MiB of a checkpoint's text tower in int8. Refuses one that a Worker's isolate cannot open, and says what does."""
    filling = 0 if shape.padding is None else shape.context_length
    blocks = shape.layers * (4 * shape.width**2 + 2 * shape.width * shape.hidden) / MIB
    floats = 4 * shape.width * (shape.context_length + filling + shape.embed_dim) / MIB
    return check_room(shape.vocabulary_size * shape.width / MIB, blocks + floats)


def check_room(table: float, weights: float) -> dict[str, float]:
    """The figures of tables and weights of so many MiB; refuses those that are too large."""
    own = table + 2 * weights
    needed = own + sum(OTHERS_MIB.values())
    if needed <= ISOLATE_MIB:
        return {"text.table_mib": table, "text.weights_mib": weights, "text.isolate_mib": needed}
    others = ", ".join(f"{name} {size:g}" for name, size in OTHERS_MIB.items())
    raise CannotExpress(
        f"the text tower has a table of {table:.1f} MiB and {weights:.1f} MiB of weights in int8. Opened in a Worker it takes "
        f"{own:.1f} MiB (weights twice while they are copied), with the others ({others}) {needed:.0f} of the {ISOLATE_MIB:g} MiB "
        "of an isolate: it cannot be served there. `npm run model -- import SOURCE --distil` trains a small text student on its vectors and "
        "serves that beside the checkpoint's own image tower; a checkpoint with a narrower or shallower text tower (TinyCLIP's) is "
        "served as it is"
    )
