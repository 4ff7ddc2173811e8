// Speeds of the embedded model: figures of docs/results.md that every estimate of time is made from.

/**
 * Seconds of one processor core, measured on a Xeon. Other models and other processors differ; larger pictures take longer to decode.
 *
 * - `image`: `npm run bench:images`, 50.2 photographs of 500 x 375 pixels a second, from bytes to a vector.
 * - `preparation`: the part of it before the tower, 2.7 ms of decoding and 0.8 ms to the tensor, which no GPU does.
 * - `video`: of videos of 640 x 480 pixels and 25 frames a second, H.264 (`npm run bench:images -- --only videos`: 18 frames a core second, where one
 *   a second is taken): 25 ms to decode a second of one, whatever is taken of it, and the rest of 1 / 18 s for a frame that is.
 * - `tokens`: of a text, by tier. `npm run bench:engines`, the engine's build that bulk jobs use: 142 ms for 256 tokens of the student; `tiny` has
 *   two layers of its six, and is taken for the same. The static tier: 43 µs for 77.
 */
export const CORE_SECONDS = {
  date: '2026-11-28',
  image: 1 / 50.2,
  preparation: 0.0035,
  video: { second: 0.025, frame: 1 / 18 - 0.025 },
  tokens: { student: 0.142 / 256, tiny: 0.142 / 256, static: 43e-6 / 77 },
} as const;

/** Of a text: what a token is in English, on the average, in UTF-16 code units. */
export const CHARS_A_TOKEN = 4;
