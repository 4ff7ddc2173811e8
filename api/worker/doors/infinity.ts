// Infinity's embeddings, on OpenAI's path.
import { INFINITY_NO_MODEL, InfinityEmbeddingsRequest } from '../../../contracts/src/api/doors/infinity.ts';
import type { OpenAIEmbeddings } from '../../../contracts/src/api/doors/openai.ts';
import { parseRequest } from '../../core/validation.ts';
import { encodeEmbedding } from '../../core/vectors/vectors.ts';
import type { Call } from '../dependencies.ts';
import type { Reply } from '../http/reply.ts';
import { embedInput, listEmbeddings, tokenUsage } from './embeddings.ts';

export async function infinityEmbeddings(call: Call, body: unknown): Promise<Reply> {
  const asked = parseRequest(InfinityEmbeddingsRequest, body);
  const { modality, encoding_format: type = 'float' } = asked;
  const toItem = (value: string) => (modality === 'image' ? { image: value } : value);
  const output = await embedInput(call, {
    model: asked.model === INFINITY_NO_MODEL ? undefined : asked.model,
    dimensions: asked.dimensions || undefined,
    input: Array.isArray(asked.input) ? asked.input.map(toItem) : toItem(asked.input),
  });
  const list = listEmbeddings(output, (vector) => encodeEmbedding(vector, type, output.quantisation));
  return { json: { ...list, usage: tokenUsage(output) } satisfies OpenAIEmbeddings };
}
