"""Stage `export`: writes everything a server needs into one folder and verifies that it computes the same vectors.

manifest.json, vocabulary.txt, image.onnx, static.table.bin, static.projection.bin where the table is narrower than the space,
MODEL_CARD.md, and of every transformer NAME.onnx, NAME.weights.bin, NAME.partition.bin and NAME.table.bin.
"""

from typing import Any

from contracts.constants import FILE_MANIFEST
from contracts.types import ExportConfig
from engine.run import Run
from towers.export.graphs import write_graphs
from towers.export.manifest import Measured, bytes_of, card_notes, manifest_of
from towers.export.parity import parity, refuse_few_described, serve_images, serve_texts
from towers.export.scores import fit_scores
from towers.exported_files import artefacts_in, write_manifest
from towers.model_card import model_card

CARD = "MODEL_CARD.md"


def main() -> None:
    """Run the stage."""
    run = Run.start(ExportConfig)
    config, out = run.config, run.output
    prepared = run.input("prepare")
    refuse_few_described(prepared)
    exported = write_graphs(run, run.input("distill"), run.input("clip"))
    run.log(exported.said_sizes())
    run.tick(1, 4)

    # ---- parity of the served paths with PyTorch in float32 --------------------------------------
    texts = serve_texts(run, prepared, exported)
    run.tick(2, 4)
    images = serve_images(run, prepared, exported)
    cosines: dict[str, Any] = parity(config, texts, images)
    run.tick(3, 4, **cosines)

    # ---- calibration, metrics, golden vectors, manifest and card ---------------------------------
    scores = fit_scores(texts, images, run.seed)
    manifest = manifest_of(run, prepared, exported, Measured(texts, images, scores))
    metrics = manifest["metrics"] = cosines | scores.metrics
    notes = card_notes(exported, texts, images)
    (out / CARD).write_text(model_card(manifest, notes, config["terms"], config["limits"]), encoding="utf-8")
    write_manifest(out, manifest)
    run.tick(4, 4)
    names = [FILE_MANIFEST, CARD, *(file["path"] for file in artefacts_in(exported.described))]
    run.finish(metrics | bytes_of(out, names, exported.sizes), {name: name for name in names}, notes)


if __name__ == "__main__":
    main()
