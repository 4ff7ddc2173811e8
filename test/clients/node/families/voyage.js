// Voyage's own library.
import { VoyageAIClient } from 'voyageai';

export function voyageai({ url, key, model }) {
  const client = new VoyageAIClient({ environment: `${url}/v1`, apiKey: key });
  const embed = async (input, options) =>
    (await client.embed({ model, input, ...options })).data.map(({ embedding }) => embedding);
  return {
    single: async ({ text }) => (await embed(text))[0],
    list: ({ texts }) => embed(texts),
    float: ({ texts }) => embed(texts),
    dimensions: ({ texts, dimensions }) => embed(texts, { outputDimension: dimensions }),
    types: ({ texts }) => embed(texts, { outputDtype: 'int8' }),
    image: async ({ image }) => {
      const inputs = [{ content: [{ type: 'image_base64', imageBase64: image }] }];
      return (await client.multimodalEmbed({ model, inputs })).data[0].embedding;
    },
    rerank: async ({ query, documents }) =>
      (await client.rerank({ model, query, documents })).data.map(({ index }) => index),
  };
}
