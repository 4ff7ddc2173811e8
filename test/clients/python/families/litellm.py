"""LiteLLM, by the prefix of the model which service it speaks to."""

import litellm as library


def operations(task: dict, prefix: str, base: str) -> dict:
    def embed(texts: list, **options: object) -> list:
        answer = library.embedding(
            model=f"{prefix}/{task['model']}",
            input=texts,
            api_base=f"{task['url']}{base}",
            api_key=task["key"],
            num_retries=2,
            **options,
        )
        return [item["embedding"] for item in answer.data]

    return {
        "single": lambda t: embed([t["text"]])[0],
        "list": lambda t: embed(t["texts"]),
        "float": lambda t: embed(t["texts"]),
        "dimensions": lambda t: embed(t["texts"], dimensions=t["dimensions"], allowed_openai_params=["dimensions"]),
    }


def litellm_openai(task: dict) -> dict:
    return operations(task, "openai", "/v1")


def litellm_voyage(task: dict) -> dict:
    return operations(task, "voyage", "/v1")


def litellm_jina(task: dict) -> dict:
    return operations(task, "jina_ai", "/v1")


def reranking(task: dict, prefix: str) -> dict:
    def rerank(t: dict) -> list:
        ranked = library.rerank(
            model=f"{prefix}/{task['model']}",
            query=t["query"],
            documents=t["documents"],
            api_base=task["url"],
            api_key=task["key"],
        )
        return [result["index"] for result in ranked.results]

    return {"rerank": rerank}


def litellm_infinity(task: dict) -> dict:
    return {**operations(task, "infinity", ""), **reranking(task, "infinity")}


def litellm_cohere(task: dict) -> dict:
    return {**operations(task, "cohere", "/v2/embed"), **reranking(task, "cohere")}
