// Small students on the engine at every length that there is: against the trainer's float module, in both builds.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { dot } from '../../../../api/core/vectors/vectors.ts';
import type { OpenTextEngine } from '../../../../api/text/engine.ts';
import { createWasmEngine } from '../../../../api/text/wasm/engine.ts';
import { MODULES, moduleOf } from './models.ts';

// It waits for Python and PyTorch.
vi.setConfig({ hookTimeout: 600_000 });

/** A variable: what it imports has Node's types, and this folder workerd's. */
const PYTHON: string = '../../../support/python.ts';
const LENGTHS = 512;
/** Cosines are that close to 1 in the plain build, with activations of 12 bits, and in the relaxed one with 7. */
const EXACTNESS: Record<string, Record<string, number>> = {
  student: { 'encoder.wasm': 1e-6, 'encoder.relaxed.wasm': 5e-4 },
  widened: { 'encoder.wasm': 1e-6, 'encoder.relaxed.wasm': 5e-4 },
  // Of rows with numbers ten thousand times as large as others, few bits are the others'.
  extreme: { 'encoder.wasm': 5e-4, 'encoder.relaxed.wasm': 3e-2 },
};

interface Written {
  table: { rows: number; width: number };
  texts: { ids: number[]; vector: number[] }[];
}
let folder: string;
let written: Record<string, Written>;
beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'students ')));
  const { warmPython } = (await import(PYTHON)) as { warmPython(): Promise<string> };
  const script = join(import.meta.dirname, '../../../support/student_towers.py');
  const options = { encoding: 'utf8', maxBuffer: 2 ** 27 } as const;
  written = JSON.parse(execFileSync(await warmPython(), [script, folder, String(LENGTHS)], options));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const artefact = (path: string) => ({ path, size: 1, digest: `sha256:${'0'.repeat(64)}` });

function open(kind: string, file: string): Promise<OpenTextEngine> {
  const tower = {
    table: { file: artefact('text.table.bin'), ...(written[kind]?.table ?? { rows: 0, width: 0 }) },
    graph: { file: artefact('text.onnx'), weights: { name: '', file: artefact('text.weights.bin') }, opset: 20 },
  };
  const read = async ({ path }: { path: string }) => Uint8Array.from(readFileSync(join(folder, kind, path))).buffer;
  return createWasmEngine({ module: moduleOf(file) }).open(tower, read);
}

describe.each(MODULES)('%s', (file) => {
  test.each(Object.keys(EXACTNESS))(
    'a student of kind %s has the vectors of its float module at every length',
    async (kind) => {
      const { encode, memoryBytes } = await open(kind, file);
      const { texts = [] } = written[kind] ?? {};
      expect(texts.map(({ ids }) => ids.length)).toEqual(Array.from({ length: LENGTHS }, (_, i) => i + 1));
      const [first] = await encode([texts[0]?.ids ?? []]);
      const bytes = memoryBytes();
      // Alone, and then in company of its neighbours: the same bits.
      const alone: Float32Array[] = [];
      for (const { ids, vector } of texts) {
        const [own = new Float32Array()] = await encode([ids]);
        expect(1 - dot(own, vector), `${ids.length} tokens`).toBeLessThan(EXACTNESS[kind]?.[file] ?? 0);
        expect(dot(own, own)).toBeCloseTo(1, 5);
        alone.push(own);
      }
      expect(await encode(texts.map(({ ids }) => ids))).toEqual(alone);
      expect(alone[0]).toEqual(first);
      expect(memoryBytes()).toBe(bytes);
    },
  );
});
