// The last column: a model that was just exported, behind the Worker and the image encoder, as `npm start` opens them.
import { readFileSync } from 'node:fs';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { ReadyReport } from '../../contracts/src/api/models.ts';
import { startLocalServer } from '../support/local-server.ts';

export interface Served {
  /** Holds the manifest. */
  folder: string;
  texts: string[];
  /** Path of a JPEG file. */
  picture: string;
  /** Unit vectors of the model's own library call. */
  expected: { texts: number[][]; image: number[] };
}

const LEAST = { text: 0.999, image: 0.9999 };

/** Resolves to what was found; throws where an answer is not what it should be. */
export async function serve({ folder, texts, picture, expected }: Served): Promise<string> {
  const server = await startLocalServer({ model: folder, onEvent: () => {} });
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
    await server.stop();
  }
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, index) => sum + value * (b[index] ?? Number.NaN), 0);
