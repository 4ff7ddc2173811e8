// What the doors share that answer with OpenAI's list: the list, and errors that name the fields of the request.
import type { Embedded, EmbedOutput } from '../../core/embed.ts';
import { CoreError } from '../../core/errors.ts';

/** OpenAI's list but for its usage, which differs by service. */
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

/** Runs the core, which calls the list of items `input`, and gives fields in its errors the names that they were sent by. */
export async function namingFields<T>(
  { list, isSingle }: { list: string; isSingle: boolean },
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof CoreError) || error.details.param === undefined) throw error;
    const { param } = error.details;
    const named = param.replace(isSingle ? /^input(\.0)?(?=\.|$)/ : /^input(?=\.|$)/, list);
    throw named === param ? error : new CoreError(error.code, error.message, { ...error.details, param: named });
  }
}
