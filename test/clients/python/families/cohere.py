"""Cohere's own library, of both versions of its interface, and LangChain's on an older one."""

import base64
import struct

import cohere as library

INPUT = {"input_type": "search_document"}


def decode(text: str) -> list:
    content = base64.b64decode(text)
    return list(struct.unpack(f"<{len(content) // 4}f", content))


def cohere(task: dict) -> dict:
    client = library.ClientV2(api_key=task["key"], base_url=task["url"])

    def embed(kind: str = "float", **options: object) -> list:
        asked = {**INPUT, **options}
        answer = client.embed(model=task["model"], embedding_types=[kind], **asked)
        # "float" and "int8" are attributes with an underscore where Python has the word itself.
        return getattr(answer.embeddings, f"{kind}_", None) or getattr(answer.embeddings, kind)

    def rerank(t: dict) -> list:
        answer = client.rerank(model=task["model"], query=t["query"], documents=t["documents"])
        return [result.index for result in answer.results]

    return {
        "single": lambda t: embed(texts=[t["text"]])[0],
        "list": lambda t: embed(texts=t["texts"]),
        "float": lambda t: embed(texts=t["texts"]),
        "base64": lambda t: [decode(text) for text in embed("base64", texts=t["texts"])],
        "dimensions": lambda t: embed(texts=t["texts"], output_dimension=t["dimensions"]),
        "types": lambda t: embed("int8", texts=t["texts"]),
        "image": lambda t: embed(images=[t["image"]], input_type="image")[0],
        "rerank": rerank,
    }
