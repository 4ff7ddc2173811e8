// The AI SDK with the providers that embed.
import { createCohere } from '@ai-sdk/cohere';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embed, embedMany, rerank } from 'ai';
import { createJina } from 'jina-ai-provider';
import { createVoyage } from 'voyage-ai-provider';

/** `optionsOf`: a provider's own name of the length and of the type. */
function operations(model, optionsOf) {
  const many = async (values, providerOptions) =>
    (await embedMany({ model, values, ...(providerOptions ? { providerOptions } : {}) })).embeddings;
  return {
    single: async ({ text }) => (await embed({ model, value: text })).embedding,
    list: ({ texts }) => many(texts),
    float: ({ texts }) => many(texts),
    dimensions: ({ texts, dimensions }) => many(texts, optionsOf({ dimensions })),
  };
}

export function openaiCompatible({ url, key, model }) {
  const service = createOpenAICompatible({ name: 'service', baseURL: `${url}/v1`, apiKey: key });
  return operations(service.embeddingModel(model), ({ dimensions }) => ({ openaiCompatible: { dimensions } }));
}

export function aiOpenai({ url, key, model }) {
  const service = createOpenAI({ baseURL: `${url}/v1`, apiKey: key });
  return operations(service.embeddingModel(model), ({ dimensions }) => ({ openai: { dimensions } }));
}

export function jina({ url, key, model }) {
  const service = createJina({ baseURL: `${url}/v1`, apiKey: key });
  const images = service.multiModalEmbeddingModel(model);
  return {
    ...operations(service.textEmbeddingModel(model), ({ dimensions }) => ({ jina: { outputDimension: dimensions } })),
    image: async ({ image }) => (await embedMany({ model: images, values: [{ image }] })).embeddings[0],
  };
}

export function voyage({ url, key, model }) {
  const service = createVoyage({ baseURL: `${url}/v1`, apiKey: key });
  const texts = service.embeddingModel(model);
  return {
    ...operations(texts, ({ dimensions }) => ({ voyage: { outputDimension: dimensions } })),
    types: async ({ texts: values }) =>
      (await embedMany({ model: texts, values, providerOptions: { voyage: { outputDtype: 'int8' } } })).embeddings,
    image: async ({ image }) => {
      const content = [[{ type: 'image_base64', image_base64: image }]];
      const model_ = service.multimodalEmbeddingModel(model);
      return (await embed({ model: model_, value: '', providerOptions: { voyage: { content } } })).embedding;
    },
    rerank: async ({ query, documents }) =>
      (await rerank({ model: service.reranking(model), query, documents })).ranking.map(
        ({ originalIndex }) => originalIndex,
      ),
  };
}

export function aiCohere({ url, key, model }) {
  const service = createCohere({ baseURL: `${url}/v2`, apiKey: key });
  return {
    ...operations(service.embeddingModel(model), ({ dimensions }) => ({ cohere: { outputDimension: dimensions } })),
    rerank: async ({ query, documents }) =>
      (await rerank({ model: service.reranking(model), query, documents })).ranking.map(
        ({ originalIndex }) => originalIndex,
      ),
  };
}
