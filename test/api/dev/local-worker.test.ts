// The Worker on this machine, started and stopped again: nothing of it stays.
import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { EMBEDDED_MODEL } from '../../../api/dev/bundle.ts';
import { startWorker } from '../../../api/dev/local-worker.ts';

vi.setConfig({ testTimeout: 60_000 });

test('neither a copy of its static files nor a listener for the end of this process', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'worker-'));
  vi.stubEnv('TMPDIR', folder);
  const copies = () => readdirSync(folder).filter((name) => name.startsWith('edge-clip-assets-'));
  const start = () => startWorker({ model: EMBEDDED_MODEL, port: 0, encoderUrl: '', onEvent: () => {} });
  const first = await start();
  const listeners = process.listenerCount('exit');
  const second = await start();
  expect(copies()).toHaveLength(2);
  expect(process.listenerCount('exit')).toBe(listeners);
  await Promise.all([first.stop(), second.stop()]);
  expect(copies()).toEqual([]);
});
