// OpenAI's own library, and Together's, which has the same calls.
import OpenAI from 'openai';
import Together from 'together-ai';

const vectorsOf = ({ data }) => data.map(({ embedding }) => embedding);

export function openai({ url, key, model }) {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key });
  const embed = async (input, options) => vectorsOf(await client.embeddings.create({ model, input, ...options }));
  return {
    single: async ({ text }) => (await embed(text))[0],
    list: ({ texts }) => embed(texts),
    // What the library asks for where its user says nothing, and decodes.
    base64: ({ texts }) => embed(texts),
    float: ({ texts }) => embed(texts, { encoding_format: 'float' }),
    dimensions: ({ texts, dimensions }) => embed(texts, { dimensions }),
    image: async ({ image }) => (await embed([{ image }]))[0],
    models: async () => (await client.models.list()).data.map(({ id }) => id),
  };
}

export function together({ url, key, model }) {
  const client = new Together({ baseURL: `${url}/v1`, apiKey: key });
  const embed = async (input) => vectorsOf(await client.embeddings.create({ model, input }));
  return {
    single: async ({ text }) => (await embed(text))[0],
    list: ({ texts }) => embed(texts),
    float: ({ texts }) => embed(texts),
    rerank: async ({ query, documents }) =>
      (await client.rerank.create({ model, query, documents })).results.map(({ index }) => index),
  };
}
