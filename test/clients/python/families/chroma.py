"""Chroma's embedding functions."""

from chromadb.utils.embedding_functions import OpenAIEmbeddingFunction


def chroma_openai(task: dict) -> dict:
    def make(**options: object) -> OpenAIEmbeddingFunction:
        return OpenAIEmbeddingFunction(
            api_key=task["key"], api_base=f"{task['url']}/v1", model_name=task["model"], **options
        )

    return {
        "single": lambda t: make()([t["text"]])[0],
        "list": lambda t: make()(t["texts"]),
        "base64": lambda t: make()(t["texts"]),
        "dimensions": lambda t: make(dimensions=t["dimensions"])(t["texts"]),
    }
