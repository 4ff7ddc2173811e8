"""OpenAI's own library."""

from openai import OpenAI


def openai(task: dict) -> dict:
    client = OpenAI(base_url=f"{task['url']}/v1", api_key=task["key"])

    def embed(text: object, **options: object) -> list:
        answer = client.embeddings.create(model=task["model"], input=text, **options)
        return [item.embedding for item in answer.data]

    return {
        "single": lambda t: embed(t["text"])[0],
        "list": lambda t: embed(t["texts"]),
        # What the library asks for where its user says nothing, and decodes.
        "base64": lambda t: embed(t["texts"]),
        "float": lambda t: embed(t["texts"], encoding_format="float"),
        "dimensions": lambda t: embed(t["texts"], dimensions=t["dimensions"]),
        "image": lambda t: embed([{"image": t["image"]}])[0],
        "models": lambda t: [model.id for model in client.models.list()],
    }
