"""Voyage's own library."""

import base64
import io

import voyageai as library
from PIL import Image


def voyageai(task: dict) -> dict:
    client = library.Client(api_key=task["key"], base_url=f"{task['url']}/v1", max_retries=3)

    def embed(texts: list, **options: object) -> list:
        return client.embed(texts, model=task["model"], **options).embeddings

    def image(t: dict) -> list:
        picture = Image.open(io.BytesIO(base64.b64decode(t["image"].split(",")[1])))
        return client.multimodal_embed([[picture]], model=task["model"]).embeddings[0]

    def rerank(t: dict) -> list:
        ranked = client.rerank(t["query"], t["documents"], model=task["model"])
        return [result.index for result in ranked.results]

    return {
        "single": lambda t: embed([t["text"]])[0],
        "list": lambda t: embed(t["texts"]),
        "base64": lambda t: embed(t["texts"]),
        "dimensions": lambda t: embed(t["texts"], output_dimension=t["dimensions"]),
        "types": lambda t: embed(t["texts"], output_dtype="int8"),
        "image": image,
        "rerank": rerank,
    }
