"""Stage `vocabulary`: the pieces that text students read, every text as pieces, and what the first student makes of each piece.

It needs the texts and the first student's weights from elsewhere, not what students are to learn: `distill` with other
settings finds it finished.
"""

from contracts.types import VocabularyConfig
from engine.run import Run
from towers.student_texts import read_student_texts, vocabulary_texts
from towers.student_vocabulary import FILE_PIECES, FILE_STATES, tokens_file, write_pieces, write_states, write_tokens


def main() -> None:
    """Run the stage."""
    run = Run.start(VocabularyConfig)
    run.resume()
    prepared = run.input("prepare")
    texts = read_student_texts(prepared, run.input("embed_captions"), run.output)
    total = len(texts.kinds) + 2
    files = [FILE_PIECES]

    # ---- the pieces --------------------------------------------------------------------------------------------------
    run.log(f"{total - 2} kinds of texts, languages: en {' '.join(sorted(texts.languages))}")
    wordpiece = write_pieces(run.output, lambda: vocabulary_texts(prepared, texts.languages, run.output), run.config)
    run.tick(1, total, dict)

    # ---- every text as pieces ----------------------------------------------------------------------------------------
    for step, (name, kind) in enumerate(texts.kinds.items(), 2):
        write_tokens(run.output, name, kind, wordpiece)
        files.append(tokens_file(name))
        run.tick(step, total, dict)

    # ---- every piece as the first student reads it -------------------------------------------------------------------
    if "first_tier" in run.config:
        write_states(run.output, wordpiece, run.config["first_tier"], run.device)
        files.append(FILE_STATES)
    run.tick(total, total)
    metrics: dict[str, float] = {"vocabulary": len(wordpiece.pieces), "alphabet": wordpiece.alphabet()}
    run.finish(metrics, {name: name for name in files})


if __name__ == "__main__":
    main()
