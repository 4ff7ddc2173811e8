// The snippets of docs/vectors.md read every type that the service writes.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cutAndNormalise, encodeEmbedding } from '../../api/core/vectors/vectors.ts';
import { EmbeddingType } from '../../contracts/src/api/embed.ts';
import { warmPython } from '../support/python.ts';

const GUIDE = readFileSync(join(import.meta.dirname, '../../docs/vectors.md'), 'utf8');
const snippet = (language: string) =>
  new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'm').exec(GUIDE)?.[1] ?? '';

/** Not a multiple of eight, so that the last byte has bits that do not count. */
const DIMENSIONS = 100;
const vector = cutAndNormalise(
  Float32Array.from({ length: DIMENSIONS }, (_, i) => Math.sin(i * i + 1)),
  DIMENSIONS,
);
const written = Object.fromEntries(
  EmbeddingType.options.map((type) => [type, encodeEmbedding(vector, type, { int8Scale: 201, bits: 'signs' })]),
);
const input = JSON.stringify({ written, dimensions: DIMENSIONS });
/** Another kind of bits, of a length that is a power of two and of one that is none. */
const rotated = [512, DIMENSIONS, 1].map((length) => {
  const floats = cutAndNormalise(
    Float32Array.from({ length }, (_, i) => Math.sin(i * i + 2)),
    length,
  );
  const bits = encodeEmbedding(floats, 'ubinary', { int8Scale: 201, bits: 'rotated' });
  return { floats: Array.from(floats), bits };
});
const inputOfRotated = JSON.stringify(rotated.map(({ floats }) => floats));

/** By type: the numbers that were read, and their cosine with the floats. */
type Read = Record<EmbeddingType, { numbers: number[]; cosine: number }>;

function check(read: Read): void {
  const signs = Array.from(vector, (value) => (value > 0 ? 1 : -1));
  const ofSigns = vector.reduce((sum, value) => sum + Math.abs(value), 0) / Math.sqrt(DIMENSIONS);
  for (const type of ['float', 'base64'] as const) expect(Float32Array.from(read[type].numbers)).toEqual(vector);
  for (const type of ['binary', 'ubinary'] as const) {
    expect(read[type].numbers).toEqual(signs);
    expect(read[type].cosine).toBeCloseTo(ofSigns, 5);
  }
  expect(read.uint8.numbers).toEqual(read.int8.numbers);
  expect(read.int8.numbers).toEqual(written.int8);
  for (const type of ['float', 'base64', 'int8', 'uint8'] as const) expect(read[type].cosine).toBeCloseTo(1, 3);
}

test('the JavaScript one', () => {
  const code = `${snippet('js')}
const { written, dimensions } = ${input};
const floats = decode(written.float, 'float', dimensions);
const read = Object.entries(written).map(([type, embedding]) => {
  const numbers = decode(embedding, type, dimensions);
  return [type, { numbers: Array.from(numbers), cosine: cosine(numbers, floats) }];
});
console.log(JSON.stringify(Object.fromEntries(read)));`;
  check(JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-'], { input: code, encoding: 'utf8' })));
});

test('the Python one', async () => {
  const code = `import json
${snippet('python')}
sent = json.loads(${JSON.stringify(input)})
written, dimensions = sent["written"], sent["dimensions"]
floats = decode(written["float"], "float", dimensions)
read = {type: decode(embedding, type, dimensions) for type, embedding in written.items()}
print(json.dumps({type: {"numbers": x.tolist(), "cosine": cosine(x, floats)} for type, x in read.items()}))`;
  check(JSON.parse(execFileSync(await warmPython(), ['-'], { input: code, encoding: 'utf8' })));
});

test('rotated bits are written as the service writes them, in JavaScript', () => {
  const code = `${snippet('js')}
const pack = (numbers) => Array.from({ length: Math.ceil(numbers.length / 8) }, (_, byte) =>
  [0, 1, 2, 3, 4, 5, 6, 7].reduce((sum, i) => 2 * sum + (numbers[8 * byte + i] > 0 ? 1 : 0), 0));
console.log(JSON.stringify(${inputOfRotated}.map((floats) => pack(rotate(Float32Array.from(floats))))));`;
  const out = execFileSync(process.execPath, ['--input-type=module', '-'], { input: code, encoding: 'utf8' });
  expect(JSON.parse(out)).toEqual(rotated.map(({ bits }) => bits));
});

test('rotated bits are written as the service writes them, in Python', async () => {
  const code = `import json
${snippet('python')}
vectors = [np.array(floats, np.float32) for floats in json.loads(${JSON.stringify(inputOfRotated)})]
print(json.dumps([np.packbits(rotate(x) > 0).tolist() for x in vectors]))`;
  const out = execFileSync(await warmPython(), ['-'], { input: code, encoding: 'utf8' });
  expect(JSON.parse(out)).toEqual(rotated.map(({ bits }) => bits));
});
