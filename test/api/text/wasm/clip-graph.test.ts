// Text towers of imported CLIPs and SigLIPs on the engine: against the trainer's float modules, in both builds.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { dot } from '../../../../api/core/vectors/vectors.ts';
import type { OpenTextEngine } from '../../../../api/text/engine.ts';
import { createWasmEngine } from '../../../../api/text/wasm/engine.ts';
import type { TextTower } from '../../../../contracts/src/model/manifest.ts';
import { MODULES, moduleOf } from './models.ts';

// It waits for Python and PyTorch.
vi.setConfig({ hookTimeout: 600_000 });

/** A variable: what it imports has Node's types, and this folder workerd's. */
const PYTHON: string = '../../../support/python.ts';

/** Cosines are that close to 1 in the plain build and in the relaxed one, as for students. */
const EXACTNESS: Record<string, number> = { 'encoder.wasm': 1e-5, 'encoder.relaxed.wasm': 2e-3 };
const KINDS = ['clip', 'mobileclip', 'siglip'];
const LENGTHS = ['1', '2', '3', '8', '9', '21', '50', '64', '77'];

interface Written {
  table: { rows: number; width: number };
  tokens: number;
  /** What `import` budgets of an isolate's memory. */
  linear_bytes: number;
  texts: { ids: number[]; vector: number[] }[];
}
let folder: string;
let written: Record<string, Written>;
beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'towers ')));
  const { warmPython } = (await import(PYTHON)) as { warmPython(): Promise<string> };
  const script = join(import.meta.dirname, '../../../support/clip_text_towers.py');
  written = JSON.parse(execFileSync(await warmPython(), [script, folder, ...LENGTHS], { encoding: 'utf8' }));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const artefact = (path: string) => ({ path, size: 1, digest: `sha256:${'0'.repeat(64)}` });

function open(kind: string, file: string): Promise<OpenTextEngine> {
  const tower: TextTower = {
    table: { file: artefact('text.table.bin'), ...(written[kind]?.table ?? { rows: 0, width: 0 }) },
    graph: { file: artefact('text.onnx'), weights: { name: '', file: artefact('text.weights.bin') }, opset: 20 },
  };
  const read = async ({ path }: { path: string }) => Uint8Array.from(readFileSync(join(folder, kind, path))).buffer;
  return createWasmEngine({ module: moduleOf(file) }).open(tower, read);
}

describe.each(MODULES)('%s', (file) => {
  test.each(KINDS)('a tower of kind %s has the vectors of its float module', async (kind) => {
    const { encode, memoryBytes } = await open(kind, file);
    const { texts = [], tokens = 0, linear_bytes } = written[kind] ?? {};
    expect(memoryBytes()).toBe(linear_bytes);
    expect(texts.at(-1)?.ids.length).toBe(tokens);
    const vectors = await encode(texts.map(({ ids }) => ids));
    for (const [at, { ids, vector }] of texts.entries()) {
      expect(1 - dot(vectors[at] ?? [], vector), `${ids.length} tokens`).toBeLessThan(EXACTNESS[file] ?? 0);
      // And the same bits alone.
      expect(await encode([ids])).toEqual([vectors[at]]);
    }
    await expect(encode([Array(tokens + 1).fill(2)])).rejects.toThrow(`a text has 1 to ${tokens} tokens`);
  });
});
