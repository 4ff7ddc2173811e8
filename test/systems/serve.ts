// The last column: a model that was just exported, or imported, behind the Worker and the image encoder, as `npm start` opens them.
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toFileUri } from '../../api/registry/stores/file-uri.ts';
import { openStore } from '../../api/registry/stores/open.ts';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { ModelList, ReadyReport } from '../../contracts/src/api/models.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import { FILES } from '../../contracts/src/keys.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { publishImported } from '../../trainer/control/cli/exchange/model-in-folder.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';

export interface Served {
  /** Holds the manifest. */
  folder: string;
  texts: string[];
  /** Path of a JPEG file. */
  picture: string;
  /** Unit vectors of the model's own library call. */
  expected: { texts: number[][]; image: number[] };
}

const WAIT_MS = 60_000;
const LEAST = { text: 0.999, image: 0.9999 };

/** Resolves to what was found; throws where an answer is not what it should be. */
export async function serve({ folder, texts, picture, expected }: Served): Promise<string> {
  const { server, end } = await start(folder);
  try {
    const image = `data:image/jpeg;base64,${readFileSync(picture).toString('base64')}`;
    const response = await fetch(`${server.url}/embed`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ input: [...texts, { image }] }),
    });
    if (!response.ok) throw new Error(`POST /embed answers ${response.status}: ${await response.text()}`);
    const vectors = EmbedResponse.parse(await response.json()).data.map(({ embedding }) => embedding as number[]);
    const cosines = [...expected.texts, expected.image].map((own, index) => dot(own, vectors[index] ?? []));
    const [text, seen] = [Math.min(...cosines.slice(0, -1)), cosines.at(-1) ?? Number.NaN];
    const said = `texts ${text.toFixed(6)}, image ${seen.toFixed(6)}`;
    if (!(text >= LEAST.text && seen >= LEAST.image)) throw new Error(`cosines to edge_clip.load: ${said}`);
    const { golden } = ReadyReport.parse(await (await fetch(`${server.url}/health/ready`)).json());
    if (golden.length === 0) throw new Error('no golden vector was checked');
    return said;
  } finally {
    await end();
  }
}

interface Started {
  server: LocalServer;
  end: () => Promise<void>;
}

/** A model with a tokenizer of its own is followed in a registry, as `npm run model -- import` leaves it; others are opened from their folder. */
async function start(folder: string): Promise<Started> {
  const { name, text } = ModelManifest.parse(JSON.parse(readFileSync(join(folder, FILES.manifest), 'utf8')));
  if (text.tokenizer.type === 'wordpiece') {
    const server = await startLocalServer({ model: folder, onEvent: () => {} });
    return { server, end: () => server.stop() };
  }
  const registry = realpathSync(mkdtempSync(join(tmpdir(), 'systems-registry-')));
  const before = process.env[ENVARS.modelName];
  process.env[ENVARS.modelName] = name; // the encoder reads it from its environment
  let server: LocalServer | undefined;
  const end = async (): Promise<void> => {
    await server?.stop();
    if (before === undefined) delete process.env[ENVARS.modelName];
    else process.env[ENVARS.modelName] = before;
    rmSync(registry, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    await publishImported(openStore(toFileUri(registry)), folder, {
      reason: 'a row of npm run systems',
      replace: false,
    });
    server = await startLocalServer({ registry, name, pollMs: 250, onEvent: () => {} });
    await current(server.url, name);
    return { server, end };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Resolves when the Worker has taken the model from the registry. */
async function current(url: string, name: string): Promise<void> {
  for (const deadline = Date.now() + WAIT_MS; ; await sleep(250)) {
    const { data } = ModelList.parse(await (await fetch(`${url}/v1/models`)).json());
    if (data.some(({ id }) => id === name)) return;
    if (Date.now() > deadline) throw new Error(`the Worker has not taken ${name} within ${WAIT_MS / 1000} s`);
  }
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, index) => sum + value * (b[index] ?? Number.NaN), 0);
