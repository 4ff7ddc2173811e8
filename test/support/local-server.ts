// What `npm start` opens, for tests: the Worker in workerd and the image encoder beside it, on free ports.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { EMBEDDED_MODEL } from '../../api/bundle.ts';
import { startWorker } from '../../api/serve.ts';

const ENCODER = join(import.meta.dirname, '../../api/encoder/server.ts');

export interface LocalServer {
  url: string;
  stop(): Promise<void>;
}

export async function startLocalServer(model = EMBEDDED_MODEL): Promise<LocalServer> {
  const encoder = spawn(process.execPath, [ENCODER, '--model', model], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const encoderUrl = `http://127.0.0.1:${await portOf(encoder)}`;
    const worker = await startWorker({ model, port: 0, encoderUrl });
    const stop = async () => {
      encoder.kill('SIGTERM');
      await worker.dispose();
    };
    return { url: (await worker.ready).origin, stop };
  } catch (error) {
    encoder.kill('SIGTERM');
    throw error;
  }
}

function portOf(encoder: ChildProcess): Promise<number> {
  return new Promise((done, fail) => {
    encoder.once('exit', (code) => fail(new Error(`the image encoder ended with ${code}`)));
    if (!encoder.stdout) return fail(new Error('the image encoder has no output'));
    createInterface({ input: encoder.stdout }).on('line', (line) => {
      if (line.includes('"listening"')) done(JSON.parse(line).port);
    });
  });
}
