// For which engine the static files are made: what wrangler reads of an environment, not what stands somewhere in its file.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { wantsOnnx } from '../../../../api/dev/assets/engine.ts';

const folder = mkdtempSync(join(tmpdir(), 'wrangler-'));
afterAll(() => rmSync(folder, { recursive: true }));
const HEAD = 'name = "edge"\nmain = "index.js"\ncompatibility_date = "2026-08-01"\n';

test.each<[string, string, boolean]>([
  ['says nothing', '', false],
  ['says it for every environment', '[vars]\nTEXT_ENGINE = "onnx"\n', true],
  ['says it for one', '[vars]\nTEXT_ENGINE = "wasm"\n[env.prod.vars]\nTEXT_ENGINE = "onnx"\n', true],
  ['says it in one line', "[env]\nprod = { vars = { TEXT_ENGINE = 'onnx' } }\n", true],
  ['says it in a comment', '# TEXT_ENGINE = "onnx"\n[vars]\nTEXT_ENGINE = "wasm-plain"\n', false],
  ['says it inside of a text', '[vars]\nNOTE = """\nTEXT_ENGINE = "onnx"\n"""\n', false],
])('a file that %s', async (what, text, expected) => {
  const file = join(folder, `${what}.toml`);
  writeFileSync(file, HEAD + text);
  writeFileSync(join(folder, 'index.js'), 'export default {};\n');
  expect(await wantsOnnx(file)).toBe(expected);
});
