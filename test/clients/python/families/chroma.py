"""Chroma's embedding functions."""

from chromadb.utils.embedding_functions import HuggingFaceEmbeddingServer, OpenAIEmbeddingFunction


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


def chroma_huggingface(task: dict) -> dict:
    embedder = HuggingFaceEmbeddingServer(url=f"{task['url']}/embed", api_key=task["key"])
    return {
        "single": lambda t: embedder([t["text"]])[0],
        "list": lambda t: embedder(t["texts"]),
        "float": lambda t: embedder(t["texts"]),
    }
