"""Stage `mntp`: masked next-token prediction makes a causal language model bidirectional (LLM2Vec, 2404.05961).

A fraction of the tokens is masked (80 % the mask token, 10 % a random one, 10 % unchanged); each is predicted from the
hidden state of the position before it, as in pretraining. LoRA layers are trained, then merged into the weights.
"""

from contracts.types import MntpConfig
from engine.loop import Loop
from engine.run import Run
from tasks.mntp import Mntp, document_windows
from towers.data import read_texts
from towers.llm import read_language_model, with_lora


def main() -> None:
    """Run the stage."""
    run = Run.start(MntpConfig)
    config = run.config
    prepared = run.input("prepare")
    documents = [row["text"] for row in read_texts(prepared, "plain", "train")]
    captions = [text for row in read_texts(prepared, "groups", "train") for text in row["captions"]]
    language_model = with_lora(read_language_model(config["language_model"], run.amp_dtype), config["lora"])
    language_model.model.to(run.device).train()
    windows = document_windows(language_model, documents, config["max_tokens"])
    run.log(f"{len(windows)} windows of documents, {len(captions)} captions, {run.amp_dtype}")

    task = Mntp(run, language_model, windows, captions)
    language_model.model = Loop(run, task, config["schedule"], config.get("parallel")).train()["language_model"]
    run.leave_to_first()

    language_model.save(run.output / "model")
    losses = task.losses.numbers()
    tail = max(1, len(losses) // 10)
    metrics = {"loss.first": sum(losses[:tail]) / tail, "loss.last": sum(losses[-tail:]) / tail}
    run.finish(metrics, {"weights": "model/model.safetensors", "config": "model/config.json"})


if __name__ == "__main__":
    main()
