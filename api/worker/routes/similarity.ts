// POST /similarity: two sides, embedded or ready, as a matrix, pairs or the best matches.
import type { InputItem, Usage } from '../../../contracts/src/api/embed.ts';
import { LIMITS } from '../../../contracts/src/api/embed.ts';
import {
  type SimilarityItem,
  SimilarityRequest,
  type SimilarityResponse,
  type VectorItem,
} from '../../../contracts/src/api/similarity.ts';
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { fromBase64, isBase64 } from '../../core/base64.ts';
import { chooseDimensions, chooseModel, type EmbedOptions, embedItems } from '../../core/items.ts';
import { cutAndNormalise, dot, fromFloat32Bytes, isUnit } from '../../core/vectors.ts';
import type { Dependencies } from '../app.ts';
import { readDocument } from '../http/body.ts';
import { ApiError } from '../http/errors.ts';
import { parseRequest } from '../http/validation.ts';
import type { Model } from '../model-provider.ts';

const DEFAULT_TOP_K = 10;

interface Side {
  embedding: Float32Array;
  modality: 'text' | 'image' | undefined;
}

export async function similarity(request: Request, deps: Dependencies): Promise<SimilarityResponse> {
  const asked = parseRequest(SimilarityRequest, await readDocument(request, false));
  return deps.registry.use((model) => compareWith(model, deps, asked));
}

async function compareWith(model: Model, deps: Dependencies, asked: SimilarityRequest): Promise<SimilarityResponse> {
  const lists = { a: listOf(asked.a), b: listOf(asked.b) };
  const mode = asked.mode ?? 'matrix';
  checkSides(lists, mode, asked.top_k);
  const { id, tier } = chooseModel(model, asked.model);
  const ready = [...readVectors(lists.a, 'a', model), ...readVectors(lists.b, 'b', model)];
  // Without `dimensions`, ready vectors decide: the shortest of them is what all can be compared at.
  const shortest = Math.min(...ready.map(({ vector }) => vector.length), model.manifest.embed_dim);
  const dimensions = chooseDimensions(model, asked.dimensions ?? shortest);
  for (const { vector, param } of ready) {
    if (vector.length >= dimensions) continue;
    const message = `${param} has ${vector.length} numbers; ${dimensions} dimensions were asked for.`;
    throw new ApiError('dimension_mismatch', message, { param });
  }
  const options = { tier, dimensions, truncate: asked.truncate ?? 'end' };
  const a = await embedSide(model, deps, lists.a, { ...options, field: 'a' });
  const b = await embedSide(model, deps, lists.b, { ...options, field: 'b' });
  const usage: Usage = {
    prompt_tokens: a.usage.prompt_tokens + b.usage.prompt_tokens,
    images: a.usage.images + b.usage.images,
    total_tokens: a.usage.total_tokens + b.usage.total_tokens,
  };
  const shared = { object: 'similarity' as const, model: id, space_id: model.manifest.space_id, dimensions, usage };
  const scores = { ...shared, ...compare(mode, a.sides, b.sides, asked.top_k ?? DEFAULT_TOP_K, model.manifest) };
  return scores;
}

function compare(mode: 'matrix' | 'pairs' | 'top_k', a: Side[], b: Side[], topK: number, manifest: ModelManifest) {
  const rows = a.map((left, i) => {
    const against = mode === 'pairs' ? b.slice(i, i + 1) : b;
    return against.map((right, index) => {
      const score = Math.max(-1, Math.min(1, dot(left.embedding, right.embedding)));
      return { index, score, calibrated: calibrate(score, left.modality, right.modality, manifest) };
    });
  });
  if (mode === 'top_k') {
    // Equal scores keep the order of b.
    const results = rows.map((row) => row.sort((x, y) => y.score - x.score || x.index - y.index).slice(0, topK));
    return { mode, results };
  }
  const scores = rows.map((row) => row.map(({ score }) => score));
  const calibrated = rows.map((row) => row.map((hit) => hit.calibrated));
  return mode === 'matrix'
    ? { mode, scores, calibrated }
    : { mode, scores: scores.flat(), calibrated: calibrated.flat() };
}

/** Learned from dev pairs, one map for each pair of modalities; null where a ready vector does not say what it was. */
function calibrate(cosine: number, a: Side['modality'], b: Side['modality'], manifest: ModelManifest): number | null {
  if (!a || !b) return null;
  const { text_text, image_image, text_image } = manifest.calibration;
  const { scale, bias } = a !== b ? text_image : a === 'text' ? text_text : image_image;
  return 1 / (1 + Math.exp(-(scale * cosine + bias)));
}

// ------------------------------------------------------------------ sides

function listOf(side: SimilarityRequest['a']): SimilarityItem[] {
  return Array.isArray(side) ? side : [side];
}

function isReady(item: SimilarityItem): item is VectorItem {
  return typeof item !== 'string' && 'embedding' in item;
}

function checkSides(
  { a, b }: { a: SimilarityItem[]; b: SimilarityItem[] },
  mode: string,
  topK: number | undefined,
): void {
  for (const [param, list] of Object.entries({ a, b })) {
    if (list.length === 0) throw new ApiError('empty_input', `${param} is an empty list.`, { param });
    if (list.length > LIMITS.items) {
      throw new ApiError('too_many_items', `${param} may hold ${LIMITS.items} items; ${list.length} were sent.`, {
        param,
      });
    }
  }
  if (mode === 'pairs' && a.length !== b.length) {
    throw new ApiError('invalid_request', `pairs needs sides of one length; a has ${a.length}, b has ${b.length}.`, {
      param: 'b',
    });
  }
  if (topK !== undefined && (mode !== 'top_k' || topK > LIMITS.top_k)) {
    const message = mode === 'top_k' ? `top_k may be ${LIMITS.top_k}, not ${topK}.` : 'top_k needs "mode": "top_k".';
    throw new ApiError('invalid_request', message, { param: 'top_k' });
  }
}

function readVectors(list: SimilarityItem[], field: string, { manifest }: Model) {
  return list.flatMap((item, index) => {
    if (!isReady(item)) return [];
    const param = `${field}.${index}`;
    if (item.space_id !== manifest.space_id) {
      const message = `${param} is of space ${item.space_id}; this model's space is ${manifest.space_id}: the two cannot be compared.`;
      throw new ApiError('space_mismatch', message, { param });
    }
    const vector = toVector(item);
    const lengths = [...new Set([manifest.embed_dim, ...manifest.matryoshka_dims])];
    if (!vector || !lengths.includes(vector.length)) {
      const message = `${param} has ${vector?.length ?? 'an unreadable number of'} numbers; vectors of this space have ${lengths.join(', ')}.`;
      throw new ApiError('dimension_mismatch', message, { param });
    }
    return [{ vector, param }];
  });
}

function toVector({ embedding }: VectorItem): ArrayLike<number> | undefined {
  if (typeof embedding !== 'string') return embedding;
  return isBase64(embedding) ? fromFloat32Bytes(fromBase64(embedding)) : undefined;
}

async function embedSide(model: Model, deps: Dependencies, list: SimilarityItem[], options: EmbedOptions) {
  const items = list.filter((item): item is InputItem => !isReady(item));
  const none: Usage = { prompt_tokens: 0, images: 0, total_tokens: 0 };
  const { embedded, usage } =
    items.length > 0 ? await embedItems(model, deps, items, options) : { embedded: [], usage: none };
  let next = 0;
  const sides = list.map((item, index): Side => {
    const made = isReady(item) ? undefined : embedded[next++];
    if (made) return { embedding: made.embedding, modality: made.modality };
    const vector = isReady(item) ? toVector(item) : undefined;
    const embedding = cutAndNormalise(vector ?? [], options.dimensions);
    const param = `${options.field}.${index}`;
    if (!isUnit(embedding)) throw new ApiError('invalid_request', `${param} is zero or not finite.`, { param });
    return { embedding, modality: isReady(item) ? item.modality : undefined };
  });
  return { sides, usage };
}
