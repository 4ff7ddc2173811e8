// The list that OpenAI and others answer with, and errors of a request whose input is one item instead of a list.
import type { Embedded, EmbedOutput } from '../embed.ts';
import { CoreError } from '../errors.ts';

/** The same error, naming the field itself where its input is one item instead of a list. */
export function ofOnlyItem(error: unknown): unknown {
  if (!(error instanceof CoreError) || error.details.param === undefined) return error;
  const param = error.details.param.replace(/^(\w+)\.0(?=\.|$)/, '$1');
  return new CoreError(error.code, error.message, { ...error.details, param });
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
