// `npm run generate`: zod documents -> JSON Schema, OpenAPI, routes and Python types; with --check it only compares.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { type CommandLine, runCommand } from '../command/command-line.ts';
import { openApi } from '../src/api/openapi.ts';
import type { Operation, Route } from '../src/api/operation.ts';
import { OPERATIONS } from '../src/api/operations.ts';
import { DOCUMENTS } from '../src/documents.ts';
import { pythonConstants } from './python-constants.ts';
import { PythonTypes, type Schema } from './python-types.ts';
import { writeGenerated } from './write-generated.ts';

const HELP = `Usage: npm run generate [-- --check]

Writes contracts/schema/*.json and contracts/python/contracts/{types,constants}.py from contracts/src.
--check writes nothing and exits with 1 when a file is stale, naming it.
`;
const OPTIONS = { check: { type: 'boolean' } } as const;

/** The text of every generated file, by path relative to contracts/. */
export function generated(): Map<string, string> {
  const files = new Map<string, string>();
  const python = new PythonTypes();
  for (const [name, document] of Object.entries(DOCUMENTS)) {
    const schema = z.toJSONSchema(document, { target: 'draft-2020-12', io: 'output' });
    files.set(`schema/${name}.json`, `${JSON.stringify({ title: name, ...schema }, null, 2)}\n`);
    python.add(name, JSON.parse(JSON.stringify(schema)) as Schema);
  }
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../..', 'package.json'), 'utf8'));
  files.set('schema/openapi.json', `${JSON.stringify(openApi(version), null, 2)}\n`);
  files.set('schema/routes.json', `${JSON.stringify(routes(), null, 2)}\n`);
  files.set('python/contracts/types.py', python.text());
  files.set('python/contracts/constants.py', pythonConstants());
  return files;
}

/** What the Worker has to know of operations before a request comes: without their documents, which take time to build. */
function routes(): Record<string, Route> {
  const all = Object.entries<Operation>(OPERATIONS).map(
    ([id, { method, path, aliases, door, scope, orScope, computes, query }]): [string, Route] => [
      id,
      {
        ...{ method, path, ...(aliases ? { aliases } : {}), door, scope, ...(orScope ? { orScope } : {}) },
        ...(computes ? { computes } : {}),
        ...(query ? { parameters: Object.keys(query) } : {}),
      },
    ],
  );
  return Object.fromEntries(all);
}

const main = ({ values }: CommandLine<typeof OPTIONS>): number =>
  writeGenerated(new Map([...generated()].map(([path, text]) => [`contracts/${path}`, text])), {
    isCheck: values.check === true,
    command: 'npm run generate',
  });

if (import.meta.main) await runCommand({ help: HELP, options: OPTIONS }, main);
