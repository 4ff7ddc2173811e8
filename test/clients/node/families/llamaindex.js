// LlamaIndex's embeddings.
import { OpenAIEmbedding } from '@llamaindex/openai';

export function llamaindexOpenai({ url, key, model }) {
  const make = (options) => new OpenAIEmbedding({ model, apiKey: key, baseURL: `${url}/v1`, ...options });
  return {
    single: ({ text }) => make().getTextEmbedding(text),
    list: ({ texts }) => make().getTextEmbeddings(texts),
    base64: ({ texts }) => make().getTextEmbeddings(texts),
    dimensions: ({ texts, dimensions }) => make({ dimensions }).getTextEmbeddings(texts),
  };
}
