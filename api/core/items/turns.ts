// Tokenises long texts slice by slice, so that other requests get their turn in between.
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import type { Tokenizer, Tokens, Turn } from '../../text/engine.ts';
import { CoreError } from '../errors.ts';
import type { Admit } from '../work.ts';
import { type Place, type PlacedItem, type PlacedPart, placeParts } from './items.ts';
import { type ReadImage, type ReadText, readPart, type TextReader } from './read.ts';

/** Requests of at most this many characters are read at once. */
const SHORT = 8_192;
const SLICE = 1_024;
/** A text that is not ASCII takes this many times as long. */
const SLOW = 30;

export type ReadPart = { place: Place } & (ReadText | ReadImage);

export interface ReadOptions {
  reader: TextReader;
  admit: Admit;
  /** Gives the error of one item, where that is an answer. */
  orError<T>(work: () => T): T | CoreError;
}

/** Parts by item. Long texts wait for their turns. */
export async function readItems(
  items: PlacedItem[],
  { reader, admit, orError }: ReadOptions,
): Promise<(ReadPart[] | CoreError)[]> {
  async function readOne(parts: PlacedPart[], turn: Turn | undefined): Promise<ReadPart[] | CoreError> {
    const read: ReadPart[] = [];
    for (const placed of parts) {
      const { part, place } = placed;
      const tokenizer = 'text' in part ? await tokenizeInTurns(part.text, reader.tokenizer, turn) : reader.tokenizer;
      const outcome = orError((): ReadPart => ({ place, ...readPart(placed, { ...reader, tokenizer }) }));
      if (outcome instanceof CoreError) return outcome;
      read.push(outcome);
    }
    return read;
  }
  const placed = items.map((item) => orError(() => placeParts(item)));
  async function readAll(turn?: Turn): Promise<(ReadPart[] | CoreError)[]> {
    const read: (ReadPart[] | CoreError)[] = [];
    for (const parts of placed) read.push(parts instanceof CoreError ? parts : await readOne(parts, turn));
    return read;
  }
  const size = readingWork(placed.flatMap((parts) => (parts instanceof CoreError ? [] : parts)));
  return size > 0 ? admit({ kind: 'tokenizer', size }, readAll) : readAll();
}

/** The work of reading these parts, in ASCII characters; 0: too little to be worth a turn. */
export function readingWork(parts: PlacedPart[]): number {
  const work = parts.reduce((sum, { part }) => sum + ('text' in part ? workOf(part.text) : 0), 0);
  return work <= SHORT ? 0 : work;
}

/** A tokenizer that has the tokens of that text ready. */
export async function tokenizeInTurns(text: string, tokenizer: Tokenizer, turn: Turn | undefined): Promise<Tokenizer> {
  // What is too long is refused before it is tokenised.
  if (!turn || !tokenizer.seam || text.length > LIMITS.text_chars) return tokenizer;
  if (text.length <= SLICE) {
    await turn.next(workOf(text));
    return tokenizer;
  }
  const tokens: Tokens = { ids: [], starts: [], ends: [] };
  for (let from = 0; from < text.length; ) {
    const to = tokenizer.seam(text, from + SLICE);
    const slice = text.slice(from, to);
    await turn.next(workOf(slice));
    const { ids, starts, ends, unknown } = tokenizer.encode(slice);
    if (unknown) tokens.unknown ??= [];
    for (const [i, id] of ids.entries()) {
      tokens.ids.push(id);
      tokens.starts.push(from + (starts[i] ?? 0));
      tokens.ends.push(from + (ends[i] ?? 0));
      tokens.unknown?.push(unknown?.[i] ?? false);
    }
    from = to;
  }
  return { ...tokenizer, encode: (asked) => (asked === text ? tokens : tokenizer.encode(asked)) };
}

function workOf(text: string): number {
  return text.length * (/^[\0-\x7f]*$/.test(text) ? 1 : SLOW);
}
