"""Hugging Face's library."""

from huggingface_hub import InferenceClient


def huggingface_hub(task: dict) -> dict:
    client = InferenceClient(model=task["url"], token=task["key"])

    def rerank(t: dict) -> list:
        cosines = client.sentence_similarity(t["query"], t["documents"])
        return sorted(range(len(cosines)), key=lambda index: -cosines[index])

    return {
        "single": lambda t: client.feature_extraction(t["text"])[0],
        "list": lambda t: client.feature_extraction(t["texts"]),
        "float": lambda t: client.feature_extraction(t["texts"]),
        "dimensions": lambda t: client.feature_extraction(t["texts"], dimensions=t["dimensions"]),
        "rerank": rerank,
    }
