// A model of a random static table behind the real provider: everything of the Worker but the ONNX graph.

import type { ModelSource } from '../../../api/registry/read.ts';
import { createApp } from '../../../api/worker/app.ts';
import type { Dependencies } from '../../../api/worker/dependencies.ts';
import { createImageRouter } from '../../../api/worker/images/router.ts';
import { createAccess } from '../../../api/worker/middleware/access.ts';
import { createAdmission } from '../../../api/worker/middleware/admission.ts';
import { createCors } from '../../../api/worker/middleware/cors.ts';
import { provideModel } from '../../../api/worker/model-provider.ts';
import vocabulary from '../../../contracts/vectors/tokenizer/vocabulary.txt?raw';

export const STATIC = 'table-static';
export const DIMENSIONS = 16;
export const CONTEXT = 8;
const ROWS = vocabulary.trimEnd().split('\n').length;

/** `zero`: every token's row is the zero vector; `changes`: of the manifest. */
export async function tableModel({ zero = false, changes = {} } = {}): Promise<ModelSource> {
  const table = new Uint8Array(ROWS * DIMENSIONS + ROWS * 4);
  let seed = 1;
  for (let i = 0; i < ROWS * DIMENSIONS; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    table[i] = zero ? 0 : seed >>> 24;
  }
  new Float32Array(table.buffer, ROWS * DIMENSIONS).fill(0.01);
  const dog = vocabulary.split('\n').indexOf('dog') * DIMENSIONS;
  const row = Array.from(new Int8Array(table.buffer, dog, DIMENSIONS));
  const files = new Map([
    ['vocabulary.txt', new TextEncoder().encode(vocabulary)],
    ['static.table.bin', table],
  ]);
  const artefact = async (path: string) => {
    const bytes = files.get(path) ?? new Uint8Array();
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    const hex = Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
    return { path, digest: `sha256:${hex}`, size: bytes.length };
  };
  const absent = await artefact('absent');
  const calibration = { scale: 2, bias: -1 };
  const manifest = {
    name: 'table',
    version: '1',
    created_at: '2026-01-01T00:00:00Z',
    space_id: absent.digest,
    embed_dim: DIMENSIONS,
    matryoshka_dims: [16, 8],
    text: {
      tokenizer: {
        type: 'wordpiece',
        vocabulary: await artefact('vocabulary.txt'),
        vocabulary_size: ROWS,
        pad_id: 0,
        unk_id: 1,
        cls_id: 2,
        sep_id: 3,
      },
      context_length: CONTEXT,
      table: { file: await artefact('static.table.bin'), rows: ROWS, width: DIMENSIONS },
      graph: { file: absent, opset: 17 },
    },
    static: { table: { file: await artefact('static.table.bin'), rows: ROWS, width: DIMENSIONS } },
    image: {
      preprocess: {
        resize_mode: 'squash',
        size: 16,
        interpolation: 'bicubic',
        crop: 'none',
        mean: [0, 0, 0],
        std: [1, 1, 1],
        color: 'rgb',
      },
      graph: { file: absent, opset: 17 },
    },
    calibration: { text_image: calibration, text_text: calibration, image_image: calibration },
    golden: [
      {
        text: 'dog',
        tier: 'static',
        embedding: row.map((value) => value / (Math.hypot(...row) || 1)),
        min_cosine: 0.999,
      },
    ],
    metrics: {},
    lineage: { recipe: 'none', code: absent.digest, parents: [] },
    quantisation: { int8_scale: 127, bits: 'rotated' },
    ...changes,
  };
  return {
    manifest: async () => manifest,
    read: async ({ path }) => (files.get(path) ?? new Uint8Array()).slice().buffer,
  };
}

/** The application over that model; without an image encoder, where `parts` brings none. */
export function appOf(source: ModelSource, parts: Partial<Dependencies> = {}) {
  const provider = provideModel(source, { open: () => Promise.reject(new Error('there is no graph')) });
  const images = createImageRouter({}).encode;
  const observed = { observers: [], metrics: () => '' };
  // As `npm start` has it: whoever asks for localhost needs no key.
  const access = createAccess({ policy: { who: 'loopback' } });
  const app = createApp({
    isolate: 'isolate-1',
    provider,
    images,
    admission: createAdmission(),
    access,
    cors: createCors([]),
    files: async () => Response.json({}),
    version: '1',
    ...observed,
    ...parts,
  });
  const post = (path: string, body: object) =>
    app.request(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  return { app, provider, post };
}
