"""LlamaIndex's embeddings."""

from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference


def llamaindex_openai_like(task: dict) -> dict:
    def make(**options: object) -> OpenAILikeEmbedding:
        return OpenAILikeEmbedding(
            model_name=task["model"], api_base=f"{task['url']}/v1", api_key=task["key"], **options
        )

    return {
        "single": lambda t: make().get_text_embedding(t["text"]),
        "list": lambda t: make().get_text_embedding_batch(t["texts"]),
        "base64": lambda t: make().get_text_embedding_batch(t["texts"]),
        "float": lambda t: make(additional_kwargs={"encoding_format": "float"}).get_text_embedding_batch(t["texts"]),
        "dimensions": lambda t: make(dimensions=t["dimensions"]).get_text_embedding_batch(t["texts"]),
    }


def llamaindex_tei(task: dict) -> dict:
    embedding = TextEmbeddingsInference(model_name=task["model"], base_url=task["url"], auth_token=task["key"])
    return {
        "single": lambda t: embedding.get_text_embedding(t["text"]),
        "list": lambda t: embedding.get_text_embedding_batch(t["texts"]),
        "float": lambda t: embedding.get_text_embedding_batch(t["texts"]),
    }
