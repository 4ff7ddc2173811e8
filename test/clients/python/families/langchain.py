"""LangChain's embeddings."""

from langchain_openai import OpenAIEmbeddings


def langchain_openai(task: dict) -> dict:
    def make(**options: object) -> OpenAIEmbeddings:
        return OpenAIEmbeddings(
            model=task["model"],
            base_url=f"{task['url']}/v1",
            api_key=task["key"],
            check_embedding_ctx_length=False,
            **options,
        )

    return {
        "single": lambda t: make().embed_query(t["text"]),
        "list": lambda t: make().embed_documents(t["texts"]),
        "base64": lambda t: make().embed_documents(t["texts"]),
        "float": lambda t: make(model_kwargs={"encoding_format": "float"}).embed_documents(t["texts"]),
        "dimensions": lambda t: make(dimensions=t["dimensions"]).embed_documents(t["texts"]),
    }
