// Chroma's embedding functions.
import { HuggingfaceServerEmbeddingFunction } from '@chroma-core/huggingface-server';
import { OpenAIEmbeddingFunction } from '@chroma-core/openai';

export function chromaOpenai({ url, key, model }) {
  const make = (options) =>
    new OpenAIEmbeddingFunction({ apiKey: key, modelName: model, apiBase: `${url}/v1`, ...options });
  return {
    single: async ({ text }) => (await make().generate([text]))[0],
    list: ({ texts }) => make().generate(texts),
    base64: ({ texts }) => make().generate(texts),
    dimensions: ({ texts, dimensions }) => make({ dimensions }).generate(texts),
  };
}

export function chromaHuggingface({ url, key }) {
  const embedder = new HuggingfaceServerEmbeddingFunction({ url: `${url}/embed`, apiKey: key });
  return {
    single: async ({ text }) => (await embedder.generate([text]))[0],
    list: ({ texts }) => embedder.generate(texts),
    float: ({ texts }) => embedder.generate(texts),
  };
}
