"""Haystack's embedders."""

from haystack import Document
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.utils import Secret


def haystack_openai(task: dict) -> dict:
    common = {
        "model": task["model"],
        "api_base_url": f"{task['url']}/v1",
        "api_key": Secret.from_token(task["key"]),
    }

    def embed(texts: list, **options: object) -> list:
        embedder = OpenAIDocumentEmbedder(progress_bar=False, raise_on_failure=True, **common, **options)
        documents = [Document(id=str(index), content=text) for index, text in enumerate(texts)]
        return [document.embedding for document in embedder.run(documents)["documents"]]

    return {
        "single": lambda t: OpenAITextEmbedder(**common).run(t["text"])["embedding"],
        "list": lambda t: embed(t["texts"]),
        "float": lambda t: embed(t["texts"]),
        "dimensions": lambda t: embed(t["texts"], dimensions=t["dimensions"]),
    }
