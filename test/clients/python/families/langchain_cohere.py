"""LangChain's embeddings of Cohere."""

from langchain_cohere import CohereEmbeddings, CohereRerank


def langchain_cohere(task: dict) -> dict:
    service = {"model": task["model"], "cohere_api_key": task["key"], "base_url": task["url"]}
    embeddings = CohereEmbeddings(**service)

    def rerank(t: dict) -> list:
        ranked = CohereRerank(top_n=len(t["documents"]), **service).rerank(t["documents"], t["query"])
        return [result["index"] for result in ranked]

    return {
        "single": lambda t: embeddings.embed_query(t["text"]),
        "list": lambda t: embeddings.embed_documents(t["texts"]),
        "float": lambda t: embeddings.embed_documents(t["texts"]),
        "rerank": rerank,
    }
