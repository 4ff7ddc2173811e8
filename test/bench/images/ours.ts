// The encoder of bulk jobs over the photographs of a folder, in one thread, a round for each line of its input.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { openBulkEncoder } from '../../../api/bulk/model.ts';
import { CoreError } from '../../../api/core/errors.ts';
import { ownCpuMs } from '../process.ts';
import type { Round } from './arm.ts';

const [folder = '', model = ''] = process.argv.slice(2);
const module = new URL('../../../api/text/wasm/encoder.wasm', import.meta.url);
const encoder = await openBulkEncoder({ folder: model, textModule: module, threads: 1 });
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.jpg'))
  .sort();
const items = names.map((name, item) => ({
  item: { image: Uint8Array.from(readFileSync(join(folder, name))) },
  place: { item, param: name },
}));
const { embed_dim: dimensions } = encoder.manifest;
const asked = { id: encoder.manifest.name, dimensions };

for await (const _ of createInterface({ input: process.stdin })) {
  const before = ownCpuMs();
  const outcomes = await encoder.embed(items, asked);
  const round: Round = { ms: ownCpuMs() - before, vectors: [] };
  for (const outcome of outcomes) {
    if (outcome instanceof CoreError) throw outcome;
    round.vectors?.push(Array.from(outcome.embedding));
  }
  console.log(JSON.stringify(round));
}
await encoder.close();
