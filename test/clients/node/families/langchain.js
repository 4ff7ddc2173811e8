// LangChain's embeddings.
import { OpenAIEmbeddings } from '@langchain/openai';

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
