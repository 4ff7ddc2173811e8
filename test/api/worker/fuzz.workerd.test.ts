// Generated and mutated bodies at every door: no answer of 5xx, and every answer valid against the schema that is published.
// `npm run fuzz` makes more of them.

import fc from 'fast-check';
import { expect, inject, test } from 'vitest';
import { z } from 'zod';
import { createBulkService } from '../../../api/bulk/service/routes.ts';
import { cutAndNormalise } from '../../../api/core/vectors/vectors.ts';
import { openUploads } from '../../../api/worker/aws/uploads.ts';
import { askHere } from '../../../api/worker/jobs/service.ts';
import { createAdmission } from '../../../api/worker/middleware/admission.ts';
import { provideModel } from '../../../api/worker/model-provider.ts';
import { DOOR_ERRORS } from '../../../contracts/src/api/doors/errors.ts';
import { openApi } from '../../../contracts/src/api/openapi.ts';
import type { Operation } from '../../../contracts/src/api/operation.ts';
import { OPERATIONS } from '../../../contracts/src/api/operations.ts';
import { ownMachine } from '../../../contracts/src/cloud/bulk-estimate.ts';
import { encodedFile } from '../../support/encode-results.ts';
import { bodiesOf } from './fuzz/bodies.ts';
import { sentOf } from './fuzz/mutations.ts';
import { appOf, DIMENSIONS, STATIC, tableModel } from './table-model.ts';

declare module 'vitest' {
  interface ProvidedContext {
    fuzz: { runs: number; seed: number };
  }
}
const { runs: RUNS, seed: SEED } = inject('fuzz');

const source = await tableModel();
const { space_id } = (await source.manifest()) as { space_id: string };
// The student, too, but for its graph: the sum of a vector per token id.
const encode = async (inputs: number[][]) =>
  inputs.map((ids) =>
    cutAndNormalise(
      Float32Array.from({ length: DIMENSIONS }, (_, i) => ids.reduce((sum, id) => sum + Math.sin(id * 31 + i * 7), 0)),
      DIMENSIONS,
    ),
  );
const engine = { open: async () => ({ encode, close: async () => {}, memoryBytes: () => 0 }) };
/** The service of bulk jobs over a store that forgets: files in parts are begun by the path of uploads. */
const bulk = createBulkService({
  store: {
    uri: 's3://jobs',
    get: async () => undefined,
    read: async () => undefined,
    put: async () => true,
    list: async () => [],
  },
  runner: {
    submit: () => {},
    cancel: () => {},
    planning: { machines: { cpu: ownMachine(1) }, open: () => ({ get: async () => undefined, list: async () => [] }) },
  },
  places: () => [],
  sources: () => [],
  current: () => Promise.reject(new Error('no job is begun')),
});
const { app } = appOf(source, {
  jobs: askHere(bulk),
  provider: provideModel(source, engine),
  admission: createAdmission(),
  uploads: {
    ...openUploads({
      uri: 's3://uploads',
      region: 'local',
      keys: async () => ({ accessKeyId: 'a', secretAccessKey: 'b' }),
    }),
    read: async () => undefined,
  },
  images: async (files, { embedDim }) =>
    files.map((file) =>
      encodedFile(
        cutAndNormalise(
          Float32Array.from({ length: embedDim }, (_, i) => Math.sin(file.length + i)),
          embedDim,
        ),
      ),
    ),
});

const gif = btoa('GIF89a\x05\0\x05\0');
const picture = fc.constantFrom(
  gif,
  gif,
  gif,
  `data:image/gif;base64,${gif}`,
  `data:image/gif;base64,${gif}`,
  `data:image/png;base64,${btoa('\x89PNG\r\n')}`,
);
const vector = fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: DIMENSIONS, maxLength: DIMENSIONS });
const dimensions = fc.constantFrom(8, 8, 16, 16, 16, 16, 16, 5);
const HINTS = {
  model: fc.constantFrom('table', STATIC),
  image: picture,
  images: picture,
  bytes: picture,
  url: picture,
  image_base64: picture,
  space_id: fc.constant(space_id),
  dimensions,
  output_dimension: dimensions,
  embedding: vector,
};

/** Statuses that /openapi.json names, by operation. */
const { paths } = openApi('1') as { paths: Record<string, Record<string, { responses: object }>> };
const statusesOf = ({ path, method }: Operation) =>
  Object.keys(paths[path]?.[method.toLowerCase()]?.responses ?? {}).map(Number);

async function check(operation: Operation, response: Response): Promise<boolean> {
  const { door, sharedWith = [], response: answer } = operation;
  const text = await response.text();
  const shown = `${response.status} ${text.slice(0, 400)}`;
  expect(response.status, shown).toBeLessThan(500);
  expect(statusesOf(operation), shown).toContain(response.status);
  const json: unknown = JSON.parse(text);
  if (response.status === 200) {
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);
    expect(answer.safeParse(json).error?.issues, shown).toBeUndefined();
    return true;
  }
  expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  const errors = [door, ...sharedWith].map((each) => DOOR_ERRORS[each].safeParse(json));
  expect(errors.some(({ success }) => success) ? [] : errors, shown).toEqual([]);
  if (response.status === 429) expect(response.headers.get('retry-after')).toMatch(/^\d+$/);
  // Names of the language or of the library that reads the schemas are none of a caller's business.
  expect((json as { detail: string }).detail).not.toMatch(/undefined|\[object|ZodError/);
  return false;
}

// Bulk jobs are answered by a service of their own, which does not run here: test/api/bulk/hosts/service.test.ts.
const operations = Object.entries<Operation>(OPERATIONS).filter(([, { scope }]) => scope !== 'jobs');
const posts = operations.filter(([, { request }]) => request);
test.each(posts)(
  '%s answers or refuses whatever is sent',
  async (_, operation) => {
    const { path, aliases = [], request, examples = {} } = operation;
    const counts = { answered: 0, refused: 0 };
    const published = Object.values(examples).map(({ value }) => value);
    const bodies = sentOf(fc.oneof(bodiesOf(request ?? z.never(), HINTS), fc.constantFrom(...published)));
    await fc.assert(
      fc.asyncProperty(bodies, fc.constantFrom(path, ...aliases), async (body, address) => {
        const headers = { 'content-type': 'application/json' };
        const response = await app.request(address, { method: 'POST', headers, body });
        counts[(await check(operation, response)) ? 'answered' : 'refused']++;
      }),
      { numRuns: RUNS, seed: SEED },
    );
    // Both were tried.
    expect(counts.answered).toBeGreaterThan(RUNS / 50);
    expect(counts.refused).toBeGreaterThan(RUNS / 20);
    console.log(`${operation.path}: ${counts.answered} answered, ${counts.refused} refused`);
  },
  60_000 + RUNS * 50,
);

const gets = operations.filter(([, { method, path }]) => method === 'GET' && path.includes('{'));
test.each(gets)('%s answers or refuses whatever is asked for', async (_, operation) => {
  const names = fc.oneof(fc.constantFrom('table', STATIC), fc.string({ unit: 'binary-ascii', minLength: 1 }));
  await fc.assert(
    fc.asyncProperty(names, async (name) => {
      const address = operation.path.replace(/\{\w+\}/g, () => encodeURIComponent(name));
      const response = await app.request(address);
      // A dot segment is another address.
      if (!/^\.{1,2}$/.test(name)) await check(operation, response);
    }),
    { numRuns: RUNS, seed: SEED },
  );
});
