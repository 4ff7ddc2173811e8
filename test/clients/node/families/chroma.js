// Chroma's embedding functions.
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
