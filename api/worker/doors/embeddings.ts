// Shared by the doors that answer with OpenAI's list (api/core/encode/list.ts): errors that name the fields of the request.
import type { EmbeddingType } from '../../../contracts/src/api/embed.ts';
import { type EmbedInput, type EmbedOutput, embed } from '../../core/embed.ts';
import { ofOnlyItem } from '../../core/encode/list.ts';
import type { Item } from '../../core/items/items.ts';
import { encodeEmbedding, encodeEmbeddings } from '../../core/vectors/vectors.ts';
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
    throw Array.isArray(input) ? error : ofOnlyItem(error);
  }
}

/** One type: the vector itself. A list of several: an object by type. */
export function writeTypes(vector: Float32Array, types: EmbeddingType | EmbeddingType[], output: EmbedOutput) {
  const [first = 'float', ...others] = new Set([types].flat());
  if (others.length === 0) return encodeEmbedding(vector, first, output.quantisation);
  return encodeEmbeddings(vector, [first, ...others], output.quantisation);
}
