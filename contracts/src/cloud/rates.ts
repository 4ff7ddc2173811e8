// How fast the embedded model encodes: figures of docs/results.md, which every estimate of how long something takes is made from.

/**
 * Seconds of one processor core, measured on a Xeon. Other models and other processors differ; larger pictures take longer to decode.
 *
 * - `image`: `npm run bench:images`, 32.8 photographs of 500 x 375 pixels a second, from bytes to a vector.
 * - `preparation`: the part of it before the tower, 3.3 ms of decoding and 4.9 ms of resizing, which no GPU does.
 * - `tokens`: of a text, by tier. `npm run bench:engines`, the engine's build that bulk jobs use: 155 ms for 256 tokens of the student; `tiny` has
 *   two layers of its six, and is taken for the same. `npm run bench`: 1.7 µs a token of the static tier.
 */
export const CORE_SECONDS = {
  date: '2026-11-27',
  image: 1 / 32.8,
  preparation: 0.0082,
  tokens: { student: 0.155 / 256, tiny: 0.155 / 256, static: 1.7e-6 },
} as const;

/** Of a text: what a token is in English, on the average, in UTF-16 code units. */
export const CHARS_A_TOKEN = 4;
