"""Infinity's generated client."""

from infinity_client import AuthenticatedClient
from infinity_client.api.default import embeddings, rerank
from infinity_client.models import OpenAIEmbeddingInputImage, OpenAIEmbeddingInputText, RerankInput
from infinity_client.models.open_ai_embedding_input_image_modality import OpenAIEmbeddingInputImageModality


def infinity(task: dict) -> dict:
    client = AuthenticatedClient(base_url=task["url"], token=task["key"], raise_on_unexpected_status=True)

    def send(body: object) -> list:
        return [item.embedding for item in embeddings.sync(client=client, body=body).data]

    def embed(text: object, **options: object) -> list:
        return send(OpenAIEmbeddingInputText(input_=text, model=task["model"], **options))

    def image(t: dict) -> list:
        body = OpenAIEmbeddingInputImage(
            input_=t["image"], model=task["model"], modality=OpenAIEmbeddingInputImageModality.IMAGE
        )
        return send(body)[0]

    def ranked(t: dict) -> list:
        body = RerankInput(query=t["query"], documents=t["documents"], model=task["model"])
        return [result.index for result in rerank.sync(client=client, body=body).results]

    return {
        "single": lambda t: embed(t["text"])[0],
        "list": lambda t: embed(t["texts"]),
        "float": lambda t: embed(t["texts"]),
        "dimensions": lambda t: embed(t["texts"], dimensions=t["dimensions"]),
        "image": image,
        "rerank": ranked,
    }
