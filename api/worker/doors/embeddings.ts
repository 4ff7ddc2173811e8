// What the doors share that answer with OpenAI's list: the list, and errors that name the fields of the request.
import type { EmbeddingType } from '../../../contracts/src/api/embed.ts';
import { type Embedded, type EmbedInput, type EmbedOutput, embed } from '../../core/embed.ts';
import { CoreError } from '../../core/errors.ts';
import type { Item } from '../../core/items/items.ts';
import { encodeEmbedding } from '../../core/vectors/vectors.ts';
import type { Call } from '../dependencies.ts';
import { withModel } from '../with-model.ts';

/** Embeds `input`; where it is one item and no list, errors name the field and not its first item. */
export async function embedInput(
  call: Call,
  { input, ...asked }: Omit<EmbedInput, 'input'> & { input: Item | Item[] },
): Promise<EmbedOutput> {
  const items = Array.isArray(input) ? input : [input];
  try {
    return await withModel(call, (model, engines) => embed(model, engines, { ...asked, input: items }));
  } catch (error) {
    if (Array.isArray(input) || !(error instanceof CoreError) || error.details.param === undefined) throw error;
    const param = error.details.param.replace(/^(\w+)\.0(?=\.|$)/, '$1');
    throw new CoreError(error.code, error.message, { ...error.details, param });
  }
}

/** The list but for its usage, which differs by service. */
export function listEmbeddings<V>({ model, space_id, embedded }: EmbedOutput, write: (vector: Float32Array) => V) {
  const item = ({ embedding, modality, truncation, parts }: Embedded, index: number) => ({
    object: 'embedding' as const,
    index,
    embedding: write(embedding),
    modality,
    space_id,
    ...(truncation ? { truncation } : {}),
    ...(parts ? { parts } : {}),
  });
  return { object: 'list' as const, data: embedded.map(item), model, space_id };
}

export function tokenUsage({ usage: { prompt_tokens, total_tokens } }: EmbedOutput) {
  return { prompt_tokens, total_tokens };
}

/** One type: the vector itself. A list of several: an object by type. */
export function writeTypes(vector: Float32Array, types: EmbeddingType | EmbeddingType[], output: EmbedOutput) {
  const write = (type: EmbeddingType) => encodeEmbedding(vector, type, output.quantisation);
  const [first = 'float', ...others] = new Set([types].flat());
  return others.length === 0 ? write(first) : Object.fromEntries([first, ...others].map((type) => [type, write(type)]));
}
