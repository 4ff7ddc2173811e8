// LangChain's embeddings.
import { CohereEmbeddings, CohereRerank } from '@langchain/cohere';
import { OpenAIEmbeddings } from '@langchain/openai';
import { CohereClient } from 'cohere-ai';

export function langchainOpenai({ url, key, model }) {
  const make = (options) =>
    new OpenAIEmbeddings({ model, apiKey: key, configuration: { baseURL: `${url}/v1` }, ...options });
  return {
    single: ({ text }) => make().embedQuery(text),
    list: ({ texts }) => make().embedDocuments(texts),
    base64: ({ texts }) => make().embedDocuments(texts),
    float: ({ texts }) => make({ encodingFormat: 'float' }).embedDocuments(texts),
    dimensions: ({ texts, dimensions }) => make({ dimensions }).embedDocuments(texts),
  };
}

export function langchainCohere({ url, key, model }) {
  const client = new CohereClient({ token: key, environment: url });
  const embeddings = new CohereEmbeddings({ model, client });
  return {
    single: ({ text }) => embeddings.embedQuery(text),
    list: ({ texts }) => embeddings.embedDocuments(texts),
    float: ({ texts }) => embeddings.embedDocuments(texts),
    rerank: async ({ query, documents }) => {
      const reranker = new CohereRerank({ model, client });
      const ranked = await reranker.rerank(documents, query, { topN: documents.length });
      return ranked.map(({ index }) => index);
    },
  };
}
