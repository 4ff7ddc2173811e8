// GET /v1/limits: what one request may hold, by the plan of the platform that has to compute it.
import * as z from 'zod';
import { Tier } from '../model/tier.ts';
import { ApiKey } from './api-key.ts';

/** What a request may hold at most; every error that names a limit reads it here. */
export const LIMITS = {
  items: 2048,
  /** Each has a cosine and what follows from it, some 40 bytes of JSON: more than these do not fit into an isolate beside the model. */
  pairs: 262_144,
  images: 32,
  text_chars: 200_000,
  image_bytes: 8 * 1024 * 1024,
  image_pixels: 16_000_000,
  /** Of JPEG and WebP stills, which are halved while they are decoded where they have more than `image_pixels`. */
  photo_pixels: 50_000_000,
  body_bytes: 10 * 1024 * 1024,
  top_k: 256,
  /** A token of the student takes about a millisecond of CPU, one of the static tier two microseconds (docs/results.md). */
  tokens: { student: 16_384, tiny: 32_768, static: 300_000 },
} as const;

const count = z.int().positive();

/** The compiler asks for a field per limit. */
const FIELDS = {
  items: count.describe('Items per request, parts of items counted.'),
  pairs: count.describe(
    'Pairs that POST /similarity scores: items of `a` times those of `b`; of POST /classify, items times labels.',
  ),
  images: count.describe('Images per request.'),
  text_chars: count.describe('UTF-16 code units per text.'),
  image_bytes: count.describe('Bytes per image file.'),
  image_pixels: count.describe('Pixels per image.'),
  photo_pixels: count.describe('Pixels per JPEG or WebP still, which is halved above `image_pixels`.'),
  body_bytes: count.describe('Bytes per request body.'),
  top_k: count.describe('The largest `top_k` of POST /similarity.'),
} satisfies Record<Exclude<keyof typeof LIMITS, 'tokens'>, z.ZodType>;

export const Limits = z
  .strictObject({ ...FIELDS, tokens: count.describe('Tokens per request, those that are cut off not counted.') })
  .meta({ title: 'Limits', description: 'What a request may hold at most; beyond it the answer names the limit.' });

/** Plans of Cloudflare Workers: 10 ms of CPU per request, or what `limits.cpu_ms` in wrangler.toml says. */
export const Plan = z
  .enum(['free', 'paid'])
  .meta({ title: 'Plan', description: 'Plan of the platform, which limits the CPU time of a request.' });
export type Plan = z.infer<typeof Plan>;

export interface PlanLimits extends Record<keyof typeof FIELDS, number> {
  plan: Plan;
  /** By tier; 0: the tier does not answer. */
  tokens: Record<z.infer<typeof Tier>, number>;
}

export const PLAN_LIMITS: Record<Plan, PlanLimits> = {
  paid: { plan: 'paid', ...LIMITS },
  free: { plan: 'free', ...LIMITS, items: 8, pairs: 2048, tokens: { student: 0, tiny: 0, static: 1024 } },
};

export const LimitsReport = z
  .strictObject({
    object: z.literal('limits').describe('Name of this form.'),
    plan: Plan,
    ...FIELDS,
    key: z
      .strictObject({ ...ApiKey.shape.rate.shape, ...ApiKey.shape.quota.shape })
      .nullable()
      .describe('What the API key of the request may ask for; null: it has none, or nothing is counted here.'),
    models: z
      .array(
        z
          .strictObject({
            id: z.string().describe('What a request names as `model`.'),
            tier: Tier,
            tokens: count.describe('Tokens per request, those that are cut off not counted.'),
            context_length: count.describe('Tokens of a text that are read before it is cut.'),
            dimensions: count.describe('The longest vector.'),
          })
          .meta({ title: 'ModelLimits', description: 'Limits that differ between models.' }),
      )
      .min(1)
      .describe('The models that answer here.'),
  })
  .meta({ title: 'LimitsReport', description: 'Answer of GET /v1/limits.' });
export type LimitsReport = z.infer<typeof LimitsReport>;
export type KeyTerms = NonNullable<LimitsReport['key']>;
