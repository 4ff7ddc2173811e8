// From request items to embeddings in the same order: what /embed and /similarity share.
import {
  type InputItem,
  LIMITS,
  type Truncate,
  type TruncationReceipt,
  type Usage,
} from '../../contracts/src/api/embed.ts';
import type { TokenIds, Tokenizer } from '../text/engine.ts';
import { ApiError } from '../worker/http/errors.ts';
import type { ImageEncoder, ImageInput } from '../worker/image-client.ts';
import type { Admission } from '../worker/middleware/admission.ts';
import type { Model } from '../worker/model-provider.ts';
import { readImage } from './images.ts';
import { cutAndNormalise, isUnit } from './vectors.ts';

export type Tier = 'student' | 'static';
export interface Choice {
  id: string;
  tier: Tier;
}

/** Why of a vector: its modality and, for a text, how much of it was read. */
export interface Embedded {
  modality: 'text' | 'image';
  embedding: Float32Array;
  truncation?: TruncationReceipt;
}
export interface EmbedOptions {
  tier: Tier;
  dimensions: number;
  truncate: Truncate;
  /** Name of the list in the request, for error params. */
  field: string;
}
export interface Engines {
  images: ImageEncoder;
  admit: Admission;
}

interface PreparedText {
  ids: TokenIds;
  truncation: TruncationReceipt;
}

/** The models that `model` may name. */
export function choices(model: Model): [Choice, Choice] {
  const { name } = model.manifest;
  return [
    { id: name, tier: 'student' },
    { id: `${name}-static`, tier: 'static' },
  ];
}

export function chooseModel(model: Model, id: string | undefined): Choice {
  const all = choices(model);
  const found = id === undefined ? all[0] : all.find((choice) => choice.id === id);
  if (found) return found;
  const names = all.map((choice) => choice.id).join(', ');
  throw new ApiError('model_not_found', `There is no model ${JSON.stringify(id)}; there are ${names}.`, {
    param: 'model',
  });
}

export function chooseDimensions(model: Model, dimensions: number | undefined): number {
  const { embed_dim, matryoshka_dims } = model.manifest;
  const allowed = [...new Set([embed_dim, ...matryoshka_dims])];
  if (dimensions === undefined || allowed.includes(dimensions)) return dimensions ?? embed_dim;
  const message = `dimensions must be one of ${allowed.join(', ')}; not ${dimensions}.`;
  throw new ApiError('invalid_dimensions', message, { param: 'dimensions' });
}

export async function embedItems(model: Model, engines: Engines, items: InputItem[], options: EmbedOptions) {
  checkCounts(items, options.field);
  const tokenizer = await model.tokenizer();
  const texts: PreparedText[] = [];
  const images: ImageInput[] = [];
  const order = items.map((item, index) => {
    const param = `${options.field}.${index}`;
    if (typeof item !== 'string' && 'image' in item)
      return { image: images.push(readImage(item.image, index, param)) - 1 };
    const text = typeof item === 'string' ? item : item.text;
    return { text: texts.push(prepareText(text, tokenizer, model, options, index)) - 1 };
  });

  // Texts first: they are cheap to refuse, and an image encoder that is down should not have cost their computation.
  const { space_id, embed_dim } = model.manifest;
  const imageVectors = await engines.images(images, { id: space_id, embedDim: embed_dim });
  const textVectors = await encodeTexts(model, engines.admit, texts, options.tier);
  const embedded = order.map((place, index): Embedded => {
    const vector = place.image === undefined ? textVectors[place.text] : imageVectors[place.image];
    const embedding = checked(vector, options.dimensions, index);
    if (place.image !== undefined) return { modality: 'image', embedding };
    return { modality: 'text', embedding, truncation: texts[place.text]?.truncation };
  });
  const tokens = texts.reduce((sum, { truncation }) => sum + truncation.tokens_seen, 0);
  const usage: Usage = { prompt_tokens: tokens, images: images.length, total_tokens: tokens };
  return { embedded, usage };
}

export function encodeTexts(model: Model, admit: Admission, texts: { ids: TokenIds }[], tier: Tier) {
  const inputs = texts.map(({ ids }) => ids);
  if (inputs.length === 0) return [];
  return tier === 'static'
    ? model.static().then((encode) => encode(inputs))
    : admit(async () => (await model.student())(inputs));
}

/** Token ids within the context length, special tokens included where the tier has them, and the receipt. */
export function prepareText(
  text: string,
  tokenizer: Tokenizer,
  { manifest }: Model,
  { tier, truncate, field }: EmbedOptions,
  item: number,
): PreparedText {
  const details = { item, param: `${field}.${item}` };
  if (text.length > LIMITS.text_chars) {
    const message = `Text ${item} has ${text.length} characters; the limit is ${LIMITS.text_chars}.`;
    throw new ApiError('text_too_long', message, details);
  }
  const tokens = tokenizer.encode(text);
  const count = tokens.ids.length;
  if (count === 0)
    throw new ApiError('empty_input', `Text ${item} holds nothing to read (it is empty or white space).`, details);
  const { before, after } = tier === 'student' ? tokenizer.special : { before: [], after: [] };
  const special = before.length + after.length;
  const kept = Math.min(count, manifest.text.context_length - special);
  const cut = kept < count;
  if (cut && truncate === 'none') {
    const message = `Text ${item} has ${count + special} tokens; the model reads ${manifest.text.context_length}. Shorten it or set truncate to start or end.`;
    throw new ApiError('text_too_long', message, details);
  }
  const first = truncate === 'start' ? count - kept : 0;
  const seen = tokens.ids.slice(first, first + kept);
  const edge = truncate === 'start' ? tokens.starts[first] : tokens.ends[kept - 1];
  return {
    ids: [...before, ...seen, ...after],
    truncation: {
      truncated: cut,
      tokens_seen: kept + special,
      tokens_total: count + special,
      cut_at_char: cut ? (edge ?? null) : null,
    },
  };
}

function checkCounts(items: InputItem[], field: string): void {
  if (items.length === 0) throw new ApiError('empty_input', `${field} is an empty list.`, { param: field });
  const images = items.filter((item) => typeof item !== 'string' && 'image' in item).length;
  const over = items.length > LIMITS.items ? ['items', LIMITS.items, items.length] : ['images', LIMITS.images, images];
  if (Number(over[2]) > Number(over[1])) {
    throw new ApiError('too_many_items', `${field} may hold ${over[1]} ${over[0]}; ${over[2]} were sent.`, {
      param: field,
    });
  }
}

/** Cut and at unit length; a vector that is not finite never leaves. */
function checked(vector: Float32Array | undefined, dimensions: number, item: number): Float32Array {
  const embedding = vector && cutAndNormalise(vector, dimensions);
  if (embedding && isUnit(embedding)) return embedding;
  throw new ApiError('non_finite_embedding', `The model's output for item ${item} is not a finite unit vector.`, {
    item,
  });
}
