// The committed WebAssembly modules are what their source compiles to.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compileEncoder, ENCODER_MODULES, type EncoderModule } from '../../../api/dev/encoder-module.ts';

const committed = (name: string) => readFileSync(join(import.meta.dirname, '../../../api', name));

test.each(Object.keys(ENCODER_MODULES) as EncoderModule[])('%s is not stale', async (name) => {
  expect(Buffer.compare(committed(name), await compileEncoder(name)), 'run npm run encoder-module').toBe(0);
});

test.each(Object.keys(ENCODER_MODULES))('%s is small', (name) => {
  expect(committed(name).length).toBeLessThan(48 * 1024);
});
