// docs/clients.md is what the last run of all clients wrote: of the clients, versions and lines that are in the tables.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, test } from 'vitest';
import { CASE_NAMES } from './cases.ts';
import { idOf, nameOf } from './client.ts';
import { versionOf } from './install.ts';
import { sizeOfRequests } from './report.ts';
import { CLIENTS } from './table.ts';

const DOCS = readFileSync(join(import.meta.dirname, '../../docs/clients.md'), 'utf8');

it('every client has a name of its own', () => {
  expect(new Set(CLIENTS.map(idOf)).size).toBe(CLIENTS.length);
});

test.each(CLIENTS.map((client) => [idOf(client), client] as const))(
  'docs/clients.md is right about %s',
  (_, client) => {
    const row = DOCS.split('\n').find(
      (line) => line.startsWith(`| [${nameOf(client)}]`) && line.includes(anchorEnd(client)),
    );
    const marks = CASE_NAMES.map((name) => (client.cannot[name] === undefined ? '✓' : '–'));
    expect(
      row
        ?.split('|')
        .slice(2, -1)
        .map((cell) => cell.trim()),
    ).toEqual([versionOf(client), ...marks]);
    expect(DOCS).toContain(`\n${client.lines.join('\n')}\n`);
    for (const note of client.notes ?? []) expect(DOCS).toContain(`\n- ${note}\n`);
  },
);

it('says how many texts of any length fit into a request, by the limits and the model', () => {
  expect(DOCS).toContain(`\n\n${sizeOfRequests()}\n\n`);
  expect(sizeOfRequests()).toMatch(/ 16,384 tokens .* at most 512:\n32 texts always fit/);
});

const anchorEnd = ({ language }: { language: string }): string => `-for-${language})`;
