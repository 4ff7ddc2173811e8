// Jina's embeddings, on OpenAI's path.
import { type JinaEmbeddings, JinaEmbeddingsRequest } from '../../../contracts/src/api/doors/jina.ts';
import { listEmbeddings, tokenUsage } from '../../core/encode/list.ts';
import { toItem } from '../../core/items/content.ts';
import type { Item } from '../../core/items/items.ts';
import { parseRequest } from '../../core/validation.ts';
import type { Call } from '../dependencies.ts';
import type { Reply } from '../http/reply.ts';
import { embedInput, writeTypes } from './embeddings.ts';

export async function jinaEmbeddings(call: Call, body: unknown): Promise<Reply> {
  const asked = parseRequest(JinaEmbeddingsRequest, body);
  const { model, dimensions, truncate = true } = asked;
  const input = Array.isArray(asked.input) ? asked.input.map(toJinaItem) : toJinaItem(asked.input);
  const output = await embedInput(call, { model, dimensions, input, truncate: truncate ? 'end' : 'none' });
  const types = asked.embedding_type ?? asked.encoding_format ?? 'float';
  const list = listEmbeddings(output, (vector) => writeTypes(vector, types, output));
  return { json: { ...list, usage: tokenUsage(output) } satisfies JinaEmbeddings };
}

type JinaItem = Exclude<JinaEmbeddingsRequest['input'], unknown[]>;

/** A link stays what it is and is refused where images are read. */
function toJinaItem(item: JinaItem): Item {
  if (typeof item === 'string') return item;
  if ('bytes' in item) return { image: item.bytes };
  return 'url' in item ? { image: item.url } : toItem(item);
}
