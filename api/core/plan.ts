// Plans a request: what it would read, use and cost, which is everything of an answer that needs no vector.
import type { Modality, OnError, TruncationReceipt, Usage } from '../../contracts/src/api/embed.ts';
import type { DryRunResponse } from '../../contracts/src/api/tasks/dry-run.ts';
import {
  catcherOf,
  choose,
  type EmbedInput,
  type EmbedOptions,
  modalityOf,
  partsIn,
  readChecked,
  sumUp,
} from './embed.ts';
import { CoreError } from './errors.ts';
import type { ImageHeader } from './images/header.ts';
import type { PlacedItem } from './items/items.ts';
import type { ReadPart } from './items/turns.ts';
import type { Model } from './model.ts';
import type { Admit } from './work.ts';

interface PlannedPart {
  modality: 'text' | 'image';
  truncation?: TruncationReceipt;
  picture?: ImageHeader;
}
export interface PlannedItem extends Omit<PlannedPart, 'modality'> {
  param: string;
  modality: Modality;
  /** Of an item that has several. */
  parts?: PlannedPart[];
}
/** An item that would be refused. */
export interface RefusedItem {
  param: string;
  error: CoreError;
}
export interface Plan {
  model: string;
  space_id: string;
  dimensions: number;
  items: (PlannedItem | RefusedItem)[];
  usage: Usage;
  pixels: number;
}

export interface Planning {
  model: Model;
  /** Long texts wait for their turns to be tokenised; nothing else is computed. */
  admit: Admit;
}

/** Refuses what embedding it would refuse, as far as can be told without decoding an image. */
export async function planEmbed(
  { model, admit }: Planning,
  { onError = 'fail', ...asked }: EmbedInput & { onError?: OnError | undefined },
): Promise<Plan> {
  const { id, items, dimensions, ...options } = choose(model, asked);
  const planned = await planItems({ model, admit }, items, { ...options, onError });
  return { model: id, space_id: model.manifest.space_id, dimensions, ...planned };
}

export async function planItems(
  { model, admit }: Planning,
  items: PlacedItem[],
  { onError, ...options }: Omit<EmbedOptions, 'dimensions'> & { onError: OnError },
): Promise<Pick<Plan, 'items' | 'usage' | 'pixels'>> {
  const read = await readChecked({ model, admit, orError: catcherOf(onError) }, items, options);
  return {
    items: read.map((parts, index) => {
      const param = items[index]?.place.param ?? String(index);
      return parts instanceof CoreError ? { param, error: parts } : { param, ...planOf(parts) };
    }),
    ...sumUp(partsIn(read)),
  };
}

function planOf(parts: ReadPart[]): Omit<PlannedItem, 'param'> {
  const [only] = parts;
  if (only && parts.length === 1) return receipt(only);
  return { modality: modalityOf(parts), parts: parts.map(receipt) };
}

function receipt(part: ReadPart): PlannedPart {
  const { modality } = part;
  return modality === 'text' ? { modality, truncation: part.truncation } : { modality, picture: part.header };
}

/** What an operator asks for; what has no price costs nothing. */
export interface Prices {
  perMillionTokens?: number | undefined;
  perThousandImages?: number | undefined;
  currency: string;
}

export function priceOf(
  { prompt_tokens: tokens, images }: Usage,
  { perMillionTokens = 0, perThousandImages = 0, currency }: Prices,
): NonNullable<DryRunResponse['price']> {
  const amount = (tokens * perMillionTokens) / 1e6 + (images * perThousandImages) / 1e3;
  // Without the last digits, which are of binary fractions and not of the price.
  return { amount: Number(amount.toPrecision(12)), currency };
}
