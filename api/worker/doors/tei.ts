// Text Embeddings Inference's and Hugging Face's bare bodies.

import {
  type TEI_OPERATIONS,
  TeiEmbedRequest,
  type TeiEmbedResponse,
  type TeiInfo,
  TeiRerankRequest,
  type TeiRerankResponse,
  TeiSimilarityRequest,
  type TeiSimilarityResponse,
  TeiTokenizeRequest,
  type TeiTokenizeResponse,
  ZeroShotRequest,
  type ZeroShotResponse,
} from '../../../contracts/src/api/doors/tei.ts';
import type { Truncate } from '../../../contracts/src/api/embed.ts';
import { fieldOf } from '../../../contracts/src/json.ts';
import { classify } from '../../core/classify.ts';
import { embed } from '../../core/embed.ts';
import { readImageHeader } from '../../core/images/header.ts';
import { choices, type Model, recommendedDimensions } from '../../core/model.ts';
import { similarity } from '../../core/similarity/similarity.ts';
import { tokenize } from '../../core/tokenize.ts';
import { parseRequest } from '../../core/validation.ts';
import { fromBase64, isBase64 } from '../../core/vectors/base64.ts';
import { encodeEmbedding } from '../../core/vectors/vectors.ts';
import type { Call, Handler } from '../dependencies.ts';
import { readJson } from '../http/body.ts';
import type { Reply } from '../http/reply.ts';
import { withModel } from '../with-model.ts';
import { infinityRerank, rankTexts } from './infinity.ts';

export const TEI_HANDLERS: Record<keyof typeof TEI_OPERATIONS, Handler> = {
  async task(call) {
    const body = await readJson(call.request);
    if (fieldOf(fieldOf(body, 'parameters'), 'candidate_labels') !== undefined) return zeroShot(call, body);
    const isPair = fieldOf(fieldOf(body, 'inputs'), 'source_sentence') !== undefined;
    return isPair ? teiSimilarity(call, body) : teiEmbed(call, body);
  },
  teiRerank,
  info,
};

export async function teiEmbed(call: Call, body: unknown): Promise<Reply> {
  call.record.door = 'tei';
  const { inputs, model, dimensions, parameters, ...options } = parseRequest(TeiEmbedRequest, body);
  const input = typeof inputs === 'string' ? [inputs] : inputs;
  const asked = { model, dimensions, input, field: 'inputs', truncate: truncateOf({ ...parameters, ...options }) };
  const { embedded } = await withModel(call, (current, engines) => embed(current, engines, asked));
  const vectors = embedded.map(({ embedding }) => encodeEmbedding(embedding, 'float') as number[]);
  return { json: vectors satisfies TeiEmbedResponse };
}

export async function teiSimilarity(call: Call, body: unknown): Promise<Reply> {
  call.record.door = 'tei';
  const { inputs, model, parameters = {} } = parseRequest(TeiSimilarityRequest, body);
  const asked = {
    model,
    a: [inputs.source_sentence],
    b: inputs.sentences,
    fields: { a: 'inputs.source_sentence', b: 'inputs.sentences' },
    mode: 'matrix' as const,
    truncate: truncateOf(parameters),
  };
  const answer = await withModel(call, (current, engines) => similarity(current, engines, asked));
  const [scores = []] = answer.mode === 'matrix' ? answer.scores : [];
  return { json: scores satisfies TeiSimilarityResponse };
}

const ZERO_SHOT_FIELDS = {
  input: 'inputs',
  labels: 'parameters.candidate_labels',
  templates: 'parameters.hypothesis_template',
};

async function zeroShot(call: Call, body: unknown): Promise<Reply> {
  const { inputs, parameters, model } = parseRequest(ZeroShotRequest, body);
  const { candidate_labels: labels, hypothesis_template: template, multi_label: isMulti } = parameters;
  const item = typeof inputs === 'string' && looksLikeImage(inputs) ? { image: inputs } : inputs;
  const templates = template === undefined ? undefined : [template];
  const asked = { model, input: [item], labels, templates, fields: ZERO_SHOT_FIELDS };
  const { classified } = await withModel(call, (current, engines) => classify(current, engines, asked));
  const scores = classified[0]?.labels ?? [];
  const json = scores.map(({ label, score, calibrated }) => ({ label, score: isMulti ? calibrated : score }));
  return { json: json satisfies ZeroShotResponse };
}

/** No image file is shorter in base64, and no word longer. */
const SHORTEST_IMAGE = 40;
const LONGEST_WORD = 300;

/** Clients send images and texts as a string alike. Text does not begin as an image file does, and is not long base64. */
function looksLikeImage(text: string): boolean {
  if (/^data:image\//i.test(text)) return true;
  if (text.length < SHORTEST_IMAGE || !isBase64(text)) return false;
  return text.length > LONGEST_WORD || readImageHeader(fromBase64(text)) !== 'unknown';
}

export async function teiTokenize(call: Call, body: unknown): Promise<Reply> {
  call.record.door = 'tei';
  const { inputs, model, add_special_tokens: withSpecial = true } = parseRequest(TeiTokenizeRequest, body);
  const input = typeof inputs === 'string' ? [inputs] : inputs;
  const asked = { model, input, field: 'inputs', units: 'bytes' as const };
  const { texts } = await withModel(call, (current, engines) => tokenize(current, engines, asked));
  const json = texts.map(({ tokens }) =>
    tokens
      .filter(({ special }) => withSpecial || !special)
      .map(({ id, piece, text, special, start, end }) => {
        return { id, text: special ? piece : text, special, start, stop: end };
      }),
  );
  return { json: json satisfies TeiTokenizeResponse };
}

async function teiRerank(call: Call): Promise<Reply> {
  const body = await readJson(call.request);
  if (fieldOf(body, 'documents') !== undefined && fieldOf(body, 'texts') === undefined)
    return infinityRerank(call, body);
  const { query, texts, model, raw_scores, return_text, top_n, ...options } = parseRequest(TeiRerankRequest, body);
  const work = { model, query, documents: texts, topN: top_n, field: 'texts', truncate: truncateOf(options) };
  const { ranked } = await rankTexts(call, work, raw_scores);
  const json = ranked.map(({ index, score }) => ({
    index,
    score,
    ...(return_text ? { text: texts[index] ?? '' } : {}),
  }));
  return { json: json satisfies TeiRerankResponse };
}

async function info({ request: { signal }, deps: { provider, version } }: Call): Promise<Reply> {
  const describe = async (model: Model): Promise<TeiInfo> => {
    const { name, version: model_sha, space_id, text } = model.manifest;
    return {
      model_id: name,
      model_sha,
      model_dtype: 'int8',
      served_model_name: name,
      model_type: { embedding: { pooling: 'mean' } },
      max_input_length: text.context_length,
      max_batch_tokens: model.limits.tokens[choices(model)[0]?.tier ?? 'student'],
      max_client_batch_size: model.limits.items,
      auto_truncate: true,
      version,
      space_id,
      dimensions: recommendedDimensions(model),
    };
  };
  return { json: await provider.use(describe, { signal }) };
}

interface TeiTruncation {
  truncate?: boolean | undefined;
  truncation_direction?: 'left' | 'right' | 'Left' | 'Right' | undefined;
}

/** TEI cuts by default since its version 1.9, as we do. */
function truncateOf({ truncate = true, truncation_direction: direction = 'right' }: TeiTruncation): Truncate {
  if (!truncate) return 'none';
  return direction.toLowerCase() === 'left' ? 'start' : 'end';
}
