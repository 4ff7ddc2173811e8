// Normalised text in lower case, each unit with the place that it has in the original.

/** Units of UTF-16. */
export interface Lowered {
  units: string;
  /** Of each unit, where its source begins and ends. */
  starts: number[];
  ends: number[];
}

/** Of pieces of text, in order, and where each stood. */
export function lowerCased(pieces: Iterable<{ text: string; start: number; end: number }>): Lowered {
  const starts: number[] = [];
  const ends: number[] = [];
  let units = '';
  for (const { text, start, end } of pieces) {
    // By code point: the whole string's rule would turn a last sigma into another letter.
    for (const character of text) {
      const lower = character.toLowerCase();
      units += lower;
      for (let i = 0; i < lower.length; i++) {
        starts.push(start);
        ends.push(end);
      }
    }
  }
  return { units, starts, ends };
}
