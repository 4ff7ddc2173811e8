"""Stage `vocabulary`: the pieces that text students read, every text as pieces, and what the first student makes of some.

It needs the texts and the first student's weights from elsewhere, not what students are to learn: `distill` with other
settings finds it finished.
"""

from contracts.types import VocabularyConfig
from engine.run import Run
from towers.student.examples import Sampler
from towers.student.texts import read_student_texts
from towers.student.vocabulary import (
    FILE_PIECES,
    first_student,
    read_tokens,
    vocabulary_texts,
    write_pieces,
    write_states,
    write_text_states,
    write_tokens,
)


def main() -> None:
    """Run the stage."""
    run = Run.start(VocabularyConfig)
    run.resume()
    texts = read_student_texts(run.input("prepare"), run.input("embed_captions"), run.output)
    projection = run.config.get("projection")
    total = len(texts.kinds) + (2 if projection is None else 3)
    files = [FILE_PIECES]

    # ---- the pieces --------------------------------------------------------------------------------------------------
    run.log(f"{len(texts.kinds)} kinds of texts, languages: en {' '.join(sorted(texts.languages))}")
    wordpiece = write_pieces(run.output, lambda: vocabulary_texts(run, texts.languages), run.config)
    run.tick(1, total, dict)

    # ---- every text as pieces ----------------------------------------------------------------------------------------
    for step, (name, kind) in enumerate(texts.kinds.items(), 2):
        files.append(write_tokens(run.output, name, kind, wordpiece))
        run.tick(step, total, dict)

    # ---- every piece as the first student reads it, and the texts that its projection is fitted to --------------------
    if "first_tier" in run.config:
        first = first_student(wordpiece, run.config["first_tier"], projection, run.device)
        files.append(write_states(run.output, first))
        if projection is not None:
            run.tick(total - 1, total, dict)
            sampler = Sampler(texts, wordpiece, read_tokens(run.output, texts), projection, run.seed)
            files.append(write_text_states(run.output, first, sampler, projection))
    run.tick(total, total)
    metrics: dict[str, float] = {"vocabulary": len(wordpiece.pieces), "alphabet": wordpiece.alphabet()}
    run.finish(metrics, {name: name for name in files})


if __name__ == "__main__":
    main()
