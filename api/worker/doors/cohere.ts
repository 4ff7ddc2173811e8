// Cohere's embeddings, in both versions of its interface.
import {
  type COHERE_OPERATIONS,
  type CohereEmbeddings,
  CohereEmbedRequest,
  type CohereEmbedResponse,
  type CohereFloatsResponse,
  type CohereImage,
  type CohereMeta,
  CohereV1EmbedRequest,
} from '../../../contracts/src/api/doors/cohere.ts';
import type { EmbeddingType, ImageReceipt, TruncationReceipt, Usage } from '../../../contracts/src/api/embed.ts';
import { type EmbedOutput, embed } from '../../core/embed.ts';
import { CoreError } from '../../core/errors.ts';
import { toPart } from '../../core/items/content.ts';
import type { Item } from '../../core/items/items.ts';
import { parseRequest } from '../../core/validation.ts';
import { encodeEmbeddings } from '../../core/vectors/vectors.ts';
import type { Call, Handler } from '../dependencies.ts';
import { readJson } from '../http/body.ts';
import { withModel } from '../with-model.ts';

type Version = CohereMeta['api_version']['version'];
const TRUNCATE = { NONE: 'none', START: 'start', END: 'end' } as const;
type Asked = CohereEmbedRequest | CohereV1EmbedRequest;

async function run(call: Call, asked: CohereEmbedRequest): Promise<{ output: EmbedOutput; field: string }> {
  const { model, output_dimension: dimensions, max_tokens: maxTokens } = asked;
  const { field, input } = chooseInput(asked);
  const truncate = TRUNCATE[asked.truncate ?? 'END'];
  const work = { model, input, field, dimensions, dimensionsField: 'output_dimension', maxTokens, truncate };
  return { field, output: await withModel(call, (current, engines) => embed(current, engines, work)) };
}

/** One of the three lists. */
function chooseInput({ texts, images, inputs }: CohereEmbedRequest): { field: string; input: Item[] } {
  const lists = {
    texts,
    images: images?.map((image) => ({ image })),
    inputs: inputs?.map(({ content }) => ({ content: content.map(toPart) })),
  };
  const sent = Object.entries(lists).flatMap(([field, input]) => (input ? [{ field, input }] : []));
  const [first, second] = sent;
  if (first && !second) return first;
  const what =
    sent.length === 0 ? 'none of them was sent' : `${sent.map(({ field }) => field).join(' and ')} were sent`;
  throw new CoreError('invalid_request', `The body must hold one of ${Object.keys(lists).join(', ')}; ${what}.`);
}

/** Fields of every answer. */
function envelope(
  call: Call,
  asked: Asked,
  { output, version, field }: { output: EmbedOutput; version: Version; field: string },
) {
  const { model, space_id, embedded, usage } = output;
  const cuts = embedded.flatMap(({ truncation, parts }, index): Cut[] => [
    { param: `${field}.${index}`, truncation },
    ...(parts ?? []).map((part, i) => ({ param: `${field}.${index}.content.${i}`, truncation: part.truncation })),
  ]);
  const images = asked.images && embedded.flatMap(({ picture }) => (picture ? [describeImage(picture)] : []));
  return {
    id: call.record.requestId,
    texts: asked.texts ?? [],
    ...(images && { images }),
    meta: metaOf(usage, version, cuts),
    model,
    space_id,
  };
}

/** Pixels are read as three channels of eight bits, whatever the file holds. */
function describeImage({ type, width, height }: ImageReceipt): CohereImage {
  return { width, height, format: type, bit_depth: 24 };
}

export interface Cut {
  param: string;
  truncation?: TruncationReceipt | undefined;
}

/** Answers have no place for the receipt of a text: a sentence takes its place. */
export function metaOf({ prompt_tokens, images }: Usage, version: Version, cuts: Cut[]): CohereMeta {
  const warnings = cuts.flatMap(({ param, truncation }) => {
    if (!truncation?.truncated) return [];
    const { tokens_seen, tokens_total, cut_at_char } = truncation;
    const place = cut_at_char === null ? '' : ` It was cut at character ${cut_at_char}.`;
    return [`${param}: ${tokens_seen} of ${tokens_total} tokens were read.${place}`];
  });
  return {
    api_version: { version },
    billed_units: { input_tokens: prompt_tokens, ...(images > 0 ? { images } : {}) },
    ...(warnings.length > 0 ? { warnings } : {}),
  };
}

function byType({ embedded, quantisation }: EmbedOutput, types: EmbeddingType[]): CohereEmbeddings {
  const written = embedded.map(({ embedding }) => encodeEmbeddings(embedding, types, quantisation));
  return Object.fromEntries(types.map((type) => [type, written.map((each) => each[type] ?? [])]));
}

export const COHERE_HANDLERS: Record<keyof typeof COHERE_OPERATIONS, Handler> = {
  async cohereEmbed(call) {
    const asked = parseRequest(CohereEmbedRequest, await readJson(call.request));
    const { output, field } = await run(call, asked);
    const embeddings = byType(output, asked.embedding_types ?? ['float']);
    const rest = envelope(call, asked, { output, field, version: '2' });
    return { json: { response_type: 'embeddings_by_type', embeddings, ...rest } satisfies CohereEmbedResponse };
  },
  async cohereV1Embed(call) {
    const asked = parseRequest(CohereV1EmbedRequest, await readJson(call.request));
    const { output, field } = await run(call, asked);
    const rest = envelope(call, asked, { output, field, version: '1' });
    if (asked.embedding_types) {
      const embeddings = byType(output, asked.embedding_types);
      return { json: { response_type: 'embeddings_by_type', embeddings, ...rest } satisfies CohereEmbedResponse };
    }
    const { float: embeddings = [] } = byType(output, ['float']);
    return { json: { response_type: 'embeddings_floats', embeddings, ...rest } satisfies CohereFloatsResponse };
  },
};
