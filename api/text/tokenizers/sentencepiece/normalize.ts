// SentencePiece's normalisation: compiled rules, longest first, then white space. After Normalizer::Normalize of the library.
import { createRules } from './charsmap.ts';
import type { ModelFile } from './model-file.ts';
import { createPlaced, type Placed } from './places.ts';

/** Stands for a space in pieces. */
export const SPACE = '\u2581';

/** The longest of some texts that begins at a place; its length, or 0. */
export type Matcher = (units: string, at: number) => number;

export function createMatcher(texts: readonly string[]): Matcher {
  const byFirst = new Map<string, string[]>();
  for (const text of [...texts].sort((one, other) => other.length - one.length)) {
    const first = text[0] ?? '';
    const others = byFirst.get(first);
    if (others) others.push(text);
    else byFirst.set(first, [text]);
  }
  return (units, at) => byFirst.get(units[at] ?? '')?.find((text) => units.startsWith(text, at))?.length ?? 0;
}

/** `symbols`: texts that no rule touches. */
export function createNormalizer(
  { charsmap, addDummyPrefix, removeExtraWhitespaces }: ModelFile,
  symbols: Matcher,
): (text: Placed) => Placed {
  const rules = charsmap.length > 0 ? createRules(charsmap) : undefined;

  /** What becomes of the text that begins there, and how far it reaches. */
  function piece(units: string, at: number): { text: string; width: number } {
    const symbol = symbols(units, at);
    const rule = symbol > 0 ? undefined : rules?.(units, at);
    if (rule) return rule;
    const width = symbol || ((units.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
    return { text: units.slice(at, at + width), width };
  }

  return function normalize({ units, starts, ends }) {
    const normal = createPlaced();
    let isAfterSpace = removeExtraWhitespaces;
    let needsPrefix = addDummyPrefix;
    let blank: { start: number; end: number } | undefined;
    /** Of white space that is written once its last has the place, so that a text that is cut before it has the same. */
    function movePlace(start: number, end: number): void {
      const last = normal.units.length - 1;
      blank = { start, end };
      if (last < 0) return;
      normal.starts[last] = start;
      normal.ends[last] = end;
    }
    for (let at = 0; at < units.length; ) {
      const { text: whole, width } = piece(units, at);
      const text = isAfterSpace ? whole.replace(/^ +/, '') : whole;
      const [start = 0, end = 0] = [starts[at], ends[at + width - 1]];
      at += width;
      // White space at the start of a text is gone before the prefix is added, which needs a text behind it.
      if (needsPrefix && (text !== '' || !removeExtraWhitespaces)) {
        normal.add(SPACE, blank?.start ?? start, blank?.end ?? end);
        needsPrefix = false;
      }
      if (text === '') {
        if (whole !== '') movePlace(start, end);
        continue;
      }
      isAfterSpace = removeExtraWhitespaces && text.endsWith(' ');
      normal.add(text.replaceAll(' ', SPACE), start, end);
    }
    if (removeExtraWhitespaces) trimEnd(normal);
    return normal;
  };
}

function trimEnd(text: Placed): void {
  let length = text.units.length;
  while (length > 0 && text.units[length - 1] === SPACE) length--;
  text.units = text.units.slice(0, length);
  text.starts.length = length;
  text.ends.length = length;
}
