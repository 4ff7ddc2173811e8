// Reports the loop: whether it is closed, in sentences, and its timeline in infra/README.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LEAST_APART } from './reference.ts';
import { heading, lineOf, type Row } from './timeline.ts';
import type { Loop } from './walk.ts';

const DOCS = join(import.meta.dirname, '../../infra/README.md');
const BEGIN = '<!-- Written by `npm run loop -- --write-docs`. -->';
const END = '<!-- The end of what it wrote. -->';

/** No request failed, no vector came under another space's name, and each client saw the spaces in their order. */
export function isShown({ failures, wrong, apart, spaces, order }: Loop): boolean {
  const seen = Object.values(spaces);
  return (
    failures.length === 0 && wrong === 0 && apart >= LEAST_APART && seen.every((found) => found.join() === order.join())
  );
}

export function outcomeOf(loop: Loop): string[] {
  const { answered, failures, wrong, slowest_ms, seconds } = loop;
  const { texts, image, fresh } = answered;
  return [
    `${texts + image + fresh} requests in ${seconds.toFixed(0)} s (${texts} of known texts, ${image} of an image, ${fresh} of new texts), ` +
      `the slowest ${Math.round(slowest_ms)} ms: ${failures.length} failed, ${wrong} with vectors of another space than they name.`,
    ...failures.slice(0, 5),
    isShown(loop) ? 'The loop is closed.' : 'The loop is NOT closed.',
  ];
}

/** Puts the timeline into the page in the place of the one before, under the command that it is of; the page's path. */
export function writeDocs(command: string, rows: readonly Row[], loop: Loop): string {
  const lines = [`$ ${command}`, heading(), ...rows.map(lineOf), '', ...outcomeOf(loop)];
  writeFileSync(DOCS, withTimeline(readFileSync(DOCS, 'utf8'), lines));
  return DOCS;
}

/** A page with these lines between its marks. */
export function withTimeline(page: string, lines: readonly string[]): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${DOCS} has no place for the timeline: ${BEGIN} … ${END}`);
  return `${page.slice(0, begin)}${BEGIN}\n\n\`\`\`\n${lines.join('\n')}\n\`\`\`\n\n${page.slice(end)}`;
}
