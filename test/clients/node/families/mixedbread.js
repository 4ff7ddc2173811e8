// Mixedbread's own library.
import Mixedbread from '@mixedbread/sdk';

export function mixedbread({ url, key, model }) {
  const client = new Mixedbread({ baseURL: url, apiKey: key });
  const embed = async (input, options) =>
    (await client.embed({ model, input, ...options })).data.map(({ embedding }) => embedding);
  return {
    single: async ({ text }) => (await embed(text))[0],
    list: ({ texts }) => embed(texts),
    float: ({ texts }) => embed(texts, { encoding_format: 'float' }),
    base64: async ({ texts }) => {
      const written = await embed(texts, { encoding_format: ['base64', 'ubinary'] });
      return written.map(({ base64 }) => {
        const bytes = Buffer.from(base64, 'base64');
        return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
      });
    },
    dimensions: ({ texts, dimensions }) => embed(texts, { dimensions }),
    types: ({ texts }) => embed(texts, { encoding_format: 'int8' }),
    image: async ({ image }) => (await embed([{ image }]))[0],
  };
}
