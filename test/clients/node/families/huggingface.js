// Hugging Face's inference library.
import { InferenceClient } from '@huggingface/inference';

export function huggingface({ url, key }) {
  const client = new InferenceClient(key);
  const embed = (inputs, options) => client.featureExtraction({ endpointUrl: url, inputs, ...options });
  return {
    single: async ({ text }) => (await embed([text]))[0],
    list: ({ texts }) => embed(texts),
    float: ({ texts }) => embed(texts),
    dimensions: ({ texts, dimensions }) => embed(texts, { dimensions }),
    rerank: async ({ query, documents }) => {
      const inputs = { source_sentence: query, sentences: documents };
      const cosines = await client.sentenceSimilarity({ endpointUrl: url, inputs });
      return documents.map((_, index) => index).sort((a, b) => cosines[b] - cosines[a]);
    },
  };
}
