// Every field of every document says what it means, in the schemas, in /openapi.json and in the Python types.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { DOCUMENTS } from '../../contracts/src/documents.ts';

const CONTRACTS = join(import.meta.dirname, '../../contracts');
const read = (path: string): unknown => JSON.parse(readFileSync(join(CONTRACTS, path), 'utf8'));

/** Paths of all fields below a schema that have no description, through lists, unions and records. */
function silentFields(node: unknown, path: string): string[] {
  if (Array.isArray(node)) return node.flatMap((member, index) => silentFields(member, `${path}/${index}`));
  if (typeof node !== 'object' || node === null) return [];
  return Object.entries(node).flatMap(([key, value]) => {
    const here = `${path}/${key}`;
    if (key !== 'properties' || !('type' in node)) return silentFields(value, here);
    return Object.entries(value as Record<string, { description?: string }>).flatMap(([name, field]) => [
      ...((field.description ?? '').trim() === '' ? [`${here}/${name}`] : []),
      ...silentFields(field, `${here}/${name}`),
    ]);
  });
}

it('finds a field without a description wherever it is', () => {
  const inner = { type: 'object', properties: { a: { type: 'string' }, b: { type: 'string', description: 'B.' } } };
  const list = { description: 'A list.', items: { anyOf: [{ type: 'null' }, inner] } };
  expect(silentFields({ type: 'object', properties: { list } }, '')).toEqual([
    '/properties/list/items/anyOf/1/properties/a',
  ]);
});

it.each(Object.keys(DOCUMENTS))('%s and each of its fields have a description', (name) => {
  const schema = read(`schema/${name}.json`);
  expect(schema).toMatchObject({ title: name, description: expect.stringMatching(/\.$/) });
  expect(silentFields(schema, name)).toEqual([]);
});

it('each field of /openapi.json has a description', () => {
  expect(silentFields(read('schema/openapi.json'), 'openapi')).toEqual([]);
});

it('cut_at_char says in which units it counts', () => {
  const types = readFileSync(join(CONTRACTS, 'python/contracts/types.py'), 'utf8');
  for (const text of [JSON.stringify(read('schema/openapi.json')), types])
    expect(text).toContain('an index into it in UTF-16 code units');
});

it('every document that is stored carries the version of its form', () => {
  const stored = Object.entries(DOCUMENTS).filter(
    ([, schema]) => 'shape' in schema && 'schema_version' in schema.shape,
  );
  expect(stored.map(([name]) => name)).toEqual([
    'ApiKey',
    'ApiKeyFile',
    'AugmentJob',
    'AugmentReport',
    'BulkBudget',
    'BulkCharge',
    'BulkDone',
    'BulkFile',
    'BulkJob',
    'BulkPlan',
    'BulkStop',
    'BulkSubmission',
    'BulkTold',
    'BulkUpload',
    'BulkWebhook',
    'DataIndex',
    'DatasetPointer',
    'FeatureManifest',
    'Lease',
    'ModelManifest',
    'ModelPointer',
    'ModelRelease',
    'PreparedManifest',
    'Recipe',
    'TrainingJob',
    'TrainingReport',
    'TrainingRequest',
  ]);
});

it('the manifest of the embedded model, which has no version, is read as it is', () => {
  const embedded: unknown = JSON.parse(readFileSync(join(CONTRACTS, '../api/model/manifest.json'), 'utf8'));
  expect(DOCUMENTS.ModelManifest.parse(embedded)).toEqual(embedded);
});
