// Speeds of the machines of a plan at computing and reading, which its hours are made of, and where each figure comes from.

/** FLOP per second that training reaches on a GPU: a third of the dense bfloat16 peak of its data sheet, two fifths for the H100. */
export const GPU_RATES = { A10G: 22e12, L4: 39e12, L40S: 115e12, H100: 400e12 } as const;
export type Gpu = keyof typeof GPU_RATES;

/**
 * A processor core, measured on a Xeon with AVX-512 in one thread. The logs of trainer/LOG.md have the runs.
 *
 * - `flop` per second: half of what a float32 product of 1,024 x 1,024 matrices reaches there, as a step of `clip` does.
 * - `convolutions`: FLOP per second of an EfficientNet's, which wait for memory; of both ways (PyTorch in float32, 16 pictures
 *   of 224 pixels: 36 to 38, 30 to 48 forwards). GPUs are taken to lose as much.
 * - `crops` a second: pictures of 512 x 384 pixels, decoded and resized by Pillow (`npm run bench:train -- --only loader`).
 * - `bytes` a second: files that `prepare` reads, checks and packs, of pictures of 15 kB; of larger ones it is more.
 * - `texts` a second: that `vocabulary` reads as tokens; and the seconds in which it finds its entries, of 20 million characters at most.
 */
export const CORE = {
  flop: 67e9,
  convolutions: 37e9,
  crops: 346,
  bytes: 40e6,
  texts: 25_000,
  entries_seconds: 20,
} as const;

/** Of an English caption in the byte pairs of a language model: 55 characters are 12.5 tokens with SmolLM2. */
export const CHARACTERS_PER_TOKEN = 4.4;
