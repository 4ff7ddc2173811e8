"""Stage `mntp`: masked next-token prediction makes a causal language model bidirectional (LLM2Vec, 2404.05961).

A fraction of the tokens is masked (80 % the mask token, 10 % a random one, 10 % unchanged); each is predicted from the
hidden state of the position before it, as in pretraining. LoRA layers are trained, then merged into the weights.
"""

from contracts.types import MntpConfig
from engine.loop import Loop
from engine.run import Run
from tasks.mntp import Mntp, captions_of, refuse_without_output
from towers.data import each_text_row
from towers.language.lora import with_lora
from towers.language.read import read_language_model
from towers.language.save import save_options
from towers.text_tables import NumberTable, TextTable


def main() -> None:
    """Run the stage."""
    run = Run.start(MntpConfig)
    config = run.config
    prepared = run.input("prepare")
    documents = (row["text"] for row in each_text_row(prepared, "plain", "train"))
    captions = TextTable.of(run.output, captions_of(prepared, with_pairs=config.get("pair_captions", False)))
    language_model = read_language_model(config["language_model"], run.amp_dtype)
    refuse_without_output(language_model)
    language_model = with_lora(language_model, config["lora"])
    language_model.model.to(run.device).train()
    windows = NumberTable.of(run.output, language_model.windows(documents, config["max_tokens"]))
    run.log(f"{len(windows)} windows of documents, {len(captions)} captions, {run.amp_dtype}")

    task = Mntp(run, language_model, windows, captions)
    language_model.model = Loop(run, task, config["schedule"], config.get("parallel")).train()["language_model"]
    run.leave_to_first()

    files = language_model.save(run.output / "model", **save_options(config.get("saved_model")))
    losses = task.losses.numbers()
    tail = max(1, len(losses) // 10)
    metrics = {"loss.first": sum(losses[:tail]) / tail, "loss.last": sum(losses[-tail:]) / tail}
    run.finish(metrics, files)


if __name__ == "__main__":
    main()
