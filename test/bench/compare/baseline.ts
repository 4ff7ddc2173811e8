// The committed ratios that `npm run bench -- --compare` holds a run against, and what the run lost.
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { reasonOf, UserError } from '../../../contracts/src/user-error.ts';
import type { Ratio } from './ratios.ts';

/** Absent figures of a machine are its own matter: ratios are all that is compared. */
export const Baseline = z
  .strictObject({
    date: z.iso.datetime().describe('When it was measured.'),
    machine: z.strictObject({ cpu: z.string().optional(), cores: z.int(), load: z.array(z.number()) }),
    versions: z.record(z.string(), z.string()),
    runs: z.int().positive(),
    ratios: z.record(z.string(), z.number().positive()).describe('By name.'),
  })
  .describe('Ratios of a run that later ones are compared with.');
export type Baseline = z.infer<typeof Baseline>;

/** How much of a ratio may be lost: less than this is what two runs of the same code differ by. */
export const ALLOWED = 0.15;

export interface Verdict extends Ratio {
  /** Absent where the baseline has no such ratio. */
  committed?: number;
  /** By how much it is worse, as a share; below 0 where it is better. */
  loss?: number;
  isLost: boolean;
}

export interface Comparison {
  verdicts: Verdict[];
  /** Ratios of the baseline that this run does not have. */
  missing: string[];
}

export function compare(ratios: Ratio[], baseline: Baseline): Comparison {
  const verdicts = ratios.map((ratio): Verdict => {
    const committed = baseline.ratios[ratio.name];
    if (committed === undefined) return { ...ratio, isLost: false };
    const loss = (ratio.better === 'lower' ? ratio.value / committed : committed / ratio.value) - 1;
    // A ratio that is no number is a loss, too.
    return { ...ratio, committed, loss, isLost: !(loss <= ALLOWED) };
  });
  const measured = new Set(ratios.map(({ name }) => name));
  return { verdicts, missing: Object.keys(baseline.ratios).filter((name) => !measured.has(name)) };
}

/** What a person has to do something about, as sentences; none where all is well. */
export function complaintsOf({ verdicts, missing }: Comparison): string[] {
  const lost = verdicts.filter(({ isLost }) => isLost);
  return [
    ...lost.map(
      ({ name, value, committed = Number.NaN, loss = Number.NaN }) =>
        `${name}: ${value.toFixed(3)} instead of ${committed.toFixed(3)}, ${percent(loss)} worse; ${percent(ALLOWED)} is allowed`,
    ),
    ...missing.map((name) => `${name}: not measured in this run`),
  ];
}

/** Such as `15 %`. */
export const percent = (share: number): string => `${Math.round(share * 100)} %`;

/** The document of a file. Throws a sentence about what is wrong with it. */
export function readDocument<T>(file: string, schema: z.ZodType<T>): T {
  let document: unknown;
  try {
    document = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UserError(`${file}: ${reasonOf(error)}`);
  }
  const parsed = schema.safeParse(document);
  if (parsed.success) return parsed.data;
  throw new UserError(`${file}: ${z.prettifyError(parsed.error)}`);
}
