// Cohere's own library, of both versions of its interface.
import { CohereClient, CohereClientV2 } from 'cohere-ai';

const INPUT = { inputType: 'search_document' };

export function cohere({ url, key, model }) {
  const client = new CohereClientV2({ token: key, environment: url });
  const embed = async (asked, type = 'float') =>
    (await client.embed({ model, ...INPUT, embeddingTypes: [type], ...asked })).embeddings[type];
  return {
    single: async ({ text }) => (await embed({ texts: [text] }))[0],
    list: ({ texts }) => embed({ texts }),
    float: ({ texts }) => embed({ texts }),
    base64: async ({ texts }) => (await embed({ texts }, 'base64')).map(decode),
    dimensions: ({ texts, dimensions }) => embed({ texts, outputDimension: dimensions }),
    types: ({ texts }) => embed({ texts }, 'int8'),
    image: async ({ image }) => (await embed({ images: [image], inputType: 'image' }))[0],
    rerank: async ({ query, documents }) =>
      (await client.rerank({ model, query, documents })).results.map(({ index }) => index),
  };
}

function decode(base64) {
  const bytes = Buffer.from(base64, 'base64');
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

export function cohereV1({ url, key, model }) {
  const client = new CohereClient({ token: key, environment: url });
  const embed = async (texts) => (await client.embed({ model, texts, ...INPUT })).embeddings;
  return {
    single: async ({ text }) => (await embed([text]))[0],
    list: ({ texts }) => embed(texts),
    float: ({ texts }) => embed(texts),
    types: async ({ texts }) =>
      (await client.embed({ model, texts, ...INPUT, embeddingTypes: ['int8'] })).embeddings.int8,
    image: async ({ image }) =>
      (await client.embed({ model, images: [image], inputType: 'image', embeddingTypes: ['float'] })).embeddings
        .float[0],
    rerank: async ({ query, documents }) =>
      (await client.rerank({ model, query, documents })).results.map(({ index }) => index),
  };
}
