// Every document type accepts its valid examples and refuses its invalid ones, as zod and as generated files.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DOCUMENTS } from '../../contracts/src/documents.ts';
import { generated } from '../../contracts/tools/generate.ts';

const VECTORS = join(import.meta.dirname, '../../contracts/vectors');
const examples = (type: string, kind: string) =>
  readdirSync(join(VECTORS, type, kind)).map((file) => ({
    file,
    value: JSON.parse(readFileSync(join(VECTORS, type, kind, file), 'utf8')),
  }));

describe.each(Object.entries(DOCUMENTS))('%s', (type, schema) => {
  test('has at least two examples of each kind', () => {
    expect(examples(type, 'valid').length).toBeGreaterThanOrEqual(2);
    expect(examples(type, 'invalid').length).toBeGreaterThanOrEqual(2);
  });
  test.each(examples(type, 'valid'))('accepts $file unchanged', ({ value }) => {
    expect(schema.parse(value)).toEqual(value);
  });
  test.each(examples(type, 'invalid'))('refuses $file', ({ value }) => {
    expect(schema.safeParse(value).success).toBe(false);
  });
});

test('generated files are what the sources generate', () => {
  for (const [path, text] of generated()) {
    expect(readFileSync(join(import.meta.dirname, '../../contracts', path), 'utf8'), path).toBe(text);
  }
});
