// Reranking for clients of Cohere, Jina and Voyage, told apart by their own keys.

import {
  CohereRerankRequest,
  type CohereRerankResponse,
  type RERANK_OPERATIONS,
  RerankRequest,
  type RerankResponse,
  type VoyageRerankResponse,
} from '../../../contracts/src/api/doors/rerank.ts';
import { fieldOf } from '../../../contracts/src/json.ts';
import { CoreError, shortList } from '../../core/errors.ts';
import type { Item } from '../../core/items/items.ts';
import { type Ranked, type RerankOutput, rerank } from '../../core/rerank.ts';
import { parseRequest } from '../../core/validation.ts';
import type { Call, Handler } from '../dependencies.ts';
import { readJson } from '../http/body.ts';
import { withModel } from '../with-model.ts';
import { metaOf } from './cohere.ts';

type Document = RerankRequest['documents'][number];

export const RERANK_HANDLERS: Record<keyof typeof RERANK_OPERATIONS, Handler> = {
  async rerank(call) {
    const body = await readJson(call.request);
    // What only Voyage's clients send, nulls among it; its errors have a form of their own.
    const isVoyage = ['top_k', 'truncation'].some((key) => fieldOf(body, key) !== undefined);
    if (isVoyage) call.record.door = 'voyage';
    const asked = parseRequest(RerankRequest, body);
    if (asked.top_k !== undefined && asked.top_n !== undefined) {
      throw new CoreError('invalid_request', 'top_k and top_n mean the same: send one of them.', { param: 'top_k' });
    }
    const truncate = asked.truncation === false ? ('none' as const) : ('end' as const);
    const output = await run(call, { ...asked, top_n: asked.top_k ?? asked.top_n, truncate });
    return { json: isVoyage ? voyageAnswer(asked, output) : sharedAnswer(call, asked, output) };
  },
  async cohereRerank(call) {
    const asked = parseRequest(CohereRerankRequest, await readJson(call.request));
    const output = await run(call, asked);
    const results = resultsOf(asked, output);
    return { json: { results, ...envelope(call, output, '2') } satisfies CohereRerankResponse };
  },
};

interface Asked extends Omit<CohereRerankRequest, 'priority'> {
  truncate?: 'none' | 'end';
}

function run(call: Call, asked: Asked): Promise<RerankOutput> {
  const { model, query, top_n: topN, max_tokens_per_doc: maxTokens, truncate } = asked;
  const order = orderOf(asked.rank_fields);
  const documents = asked.documents.map((document, index) => toItem(document, index, order));
  const work = { model, query, documents, topN, truncate, documentTokens: maxTokens };
  return withModel(call, (current, engines) => rerank(current, engines, work));
}

/** Places of the fields that are read, each once; undefined: the text alone. */
type Order = ReadonlyMap<string, number> | undefined;
const TEXT = new Map([['text', 0]]);

function orderOf(fields: string[] | undefined): Order {
  return fields && new Map([...new Set(fields)].map((field, place) => [field, place]));
}

/** What is read of a document; `undefined` where nothing can be. By its own fields: many may be named that it does not have. */
function textOf(document: Document, order: Order): string | undefined {
  if (typeof document === 'string') return document;
  const places = order ?? TEXT;
  const read = Object.entries(document).flatMap(([field, text]) => {
    const place = places.get(field);
    return place === undefined ? [] : [{ place, text }];
  });
  read.sort((a, b) => a.place - b.place);
  return read.length > 0 ? read.map(({ text }) => text).join('\n') : undefined;
}

function toItem(document: Document, index: number, order: Order): Item {
  const text = textOf(document, order);
  const hasImage = typeof document === 'object' && !order && Object.hasOwn(document, 'image');
  const image = hasImage ? document.image : undefined;
  if (text !== undefined) return image === undefined ? { text } : { text, image };
  if (image !== undefined) return { image };
  const param = `documents.${index}`;
  const message = order
    ? `${param} has none of the fields of rank_fields: ${shortList([...order.keys()])}.`
    : `${param} must be a string or have a field text or image, or name its fields in rank_fields.`;
  throw new CoreError('invalid_request', message, { param, item: index });
}

// ------------------------------------------------------------------ answers

function hitOf({ index, relevance, truncation, parts }: Ranked) {
  return { index, relevance_score: relevance, ...(truncation ? { truncation } : {}), ...(parts ? { parts } : {}) };
}

function envelope(call: Call, { model, space_id, usage, truncation, ranked }: RerankOutput, version: '1' | '2') {
  const cuts = ranked.flatMap((hit) =>
    [hit, ...(hit.parts ?? [])].map((part) => ({ param: `documents.${hit.index}`, truncation: part.truncation })),
  );
  const meta = metaOf(usage, version, [{ param: 'query', truncation }, ...cuts]);
  return { id: call.record.requestId, meta, model, space_id };
}

function voyageAnswer(asked: RerankRequest, { model, space_id, ranked, usage }: RerankOutput): VoyageRerankResponse {
  const { prompt_tokens, total_tokens } = usage;
  const order = orderOf(asked.rank_fields);
  const data = ranked.map((hit) => {
    const document = textOf(asked.documents[hit.index] ?? {}, order);
    return { ...hitOf(hit), ...(asked.return_documents && document !== undefined ? { document } : {}) };
  });
  return { object: 'list', data, model, space_id, usage: { prompt_tokens, total_tokens } };
}

function resultsOf({ documents, rank_fields, return_documents }: Asked, { ranked }: RerankOutput) {
  const order = orderOf(rank_fields);
  return ranked.map((hit) => {
    const document = documents[hit.index];
    if (!return_documents || document === undefined) return hitOf(hit);
    const text = textOf(document, order);
    const whole = typeof document === 'string' ? {} : document;
    return { ...hitOf(hit), document: { ...(text === undefined ? {} : { text }), ...whole } };
  });
}

/** Cohere's, Jina's and Voyage's shortest bodies are the same: the answer has the lists of all three. */
function sharedAnswer(call: Call, asked: RerankRequest, output: RerankOutput): RerankResponse {
  return { ...voyageAnswer(asked, output), results: resultsOf(asked, output), ...envelope(call, output, '1') };
}
