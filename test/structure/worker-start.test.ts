// The Worker before its first request evaluates what its entry imports, and not what it imports when a request asks for it.
import { join } from 'node:path';
import { build } from 'esbuild';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const ENTRY = 'api/worker/index.ts';
/** Schemas that few isolates read a document by; all of them together are a third of what an isolate would evaluate. */
const LATER = [
  'contracts/src/model/manifest.ts',
  'contracts/src/bulk/job.ts',
  'contracts/src/api/models.ts',
  'contracts/src/api/tasks/jobs.ts',
  'api/worker/jobs/service.ts',
];

it('the Worker starts without the schemas of documents that its first request may not need', async () => {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [ENTRY],
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'browser',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*', 'node:*', '*.wasm', '*/manifest.json'],
    logLevel: 'error',
  });
  const started = new Set([ENTRY]);
  for (const file of started) {
    for (const { path, kind } of metafile.inputs[file]?.imports ?? [])
      if (kind === 'import-statement') started.add(path);
  }
  expect(started.size).toBeGreaterThan(100);
  expect(Object.keys(metafile.inputs)).toEqual(expect.arrayContaining(LATER));
  expect(LATER.filter((file) => started.has(file))).toEqual([]);
});
