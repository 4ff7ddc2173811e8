// Compares a fine-tuning with its start: figures before and after, of the control, and what was lost on the general dev sets.
import { z } from 'zod';

export interface Figure {
  name: string;
  /** Fractions; null where it was not measured. */
  before: number | null;
  after: number | null;
  control: number | null;
}

/** Figures of `adapt` by name: those with a `.before` of their own name. */
export function figuresOf(metrics: Record<string, number>, control: Record<string, number> | undefined): Figure[] {
  return Object.entries(metrics).flatMap(([name, after]) => {
    const before = metrics[`${name}.before`];
    return before === undefined ? [] : [{ name, before, after, control: control?.[name] ?? null }];
  });
}

const Measured = z.object({ sets: z.record(z.string(), z.unknown()) });

/** Figures of dev sets that both documents of `npm run evaluate -- --json` have: every number below `sets`, by its path. */
export function generalFigures(before: unknown, after: unknown, wanted: RegExp): Figure[] {
  const [old, now] = [before, after].map((document) => numbersIn(Measured.parse(document).sets));
  return [...(old ?? [])].flatMap(([name, value]) => {
    const after = now?.get(name);
    return after === undefined || !wanted.test(name) ? [] : [{ name, before: value, after, control: null }];
  });
}

function numbersIn(value: unknown, path: readonly string[] = []): Map<string, number> {
  if (typeof value === 'number') return new Map([[path.join('.'), value]]);
  if (typeof value !== 'object' || value === null) return new Map();
  return new Map(Object.entries(value).flatMap(([key, member]) => [...numbersIn(member, [...path, key])]));
}

/** A table of per cent with the columns that hold something. */
export function figureLines(figures: readonly Figure[]): string[] {
  const columns = (['before', 'after', 'control'] as const).filter((column) =>
    figures.some((figure) => figure[column] !== null),
  );
  const width = Math.max(6, ...figures.map(({ name }) => name.length));
  const cell = (value: number | null): string => (value === null ? '-' : (100 * value).toFixed(1)).padStart(8);
  return [
    `${'figure'.padEnd(width)}${columns.map((column) => column.padStart(8)).join('')}`,
    ...figures.map((figure) => `${figure.name.padEnd(width)}${columns.map((column) => cell(figure[column])).join('')}`),
  ];
}
