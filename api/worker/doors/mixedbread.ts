// Mixedbread's embeddings, on OpenAI's path.
import { type MixedbreadEmbeddings, MixedbreadEmbeddingsRequest } from '../../../contracts/src/api/doors/mixedbread.ts';
import { listEmbeddings, tokenUsage } from '../../core/encode/list.ts';
import { toItem } from '../../core/items/content.ts';
import { parseRequest } from '../../core/validation.ts';
import type { Call } from '../dependencies.ts';
import type { Reply } from '../http/reply.ts';
import { embedInput, writeTypes } from './embeddings.ts';

export async function mixedbreadEmbeddings(call: Call, body: unknown): Promise<Reply> {
  const asked = parseRequest(MixedbreadEmbeddingsRequest, body);
  const { model, dimensions, encoding_format = 'float' } = asked;
  const input = Array.isArray(asked.input) ? asked.input.map(toItem) : toItem(asked.input);
  const output = await embedInput(call, { model, dimensions, input });
  const list = listEmbeddings(output, (vector) => writeTypes(vector, encoding_format, output));
  const data = list.data.map((item) => ({
    ...item,
    object: isByType(item.embedding) ? ('embedding_dict' as const) : item.object,
  }));
  const json = {
    ...list,
    data,
    usage: tokenUsage(output),
    normalized: true as const,
    encoding_format,
    dimensions: output.dimensions,
  };
  return { json: json satisfies MixedbreadEmbeddings };
}

function isByType(embedding: ReturnType<typeof writeTypes>): boolean {
  return typeof embedding === 'object' && !Array.isArray(embedding);
}
