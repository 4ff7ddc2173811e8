// A model folder around tiny-image-tower.onnx, for tests of the image encoder; the text half of its manifest is a form.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';

export const TINY_SIZE = 16;
export const TINY_DIM = 8;
const ONNX = fileURLToPath(new URL('tiny-image-tower.onnx', import.meta.url));

/** A new temporary folder with manifest.json and image.onnx. */
export function writeTinyImageModel(): { folder: string; manifest: ModelManifest } {
  const folder = mkdtempSync(join(tmpdir(), 'tiny-image-model-'));
  copyFileSync(ONNX, join(folder, 'image.onnx'));
  const manifest = tinyManifest();
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
  return { folder, manifest };
}

export function tinyManifest(): ModelManifest {
  const bytes = readFileSync(ONNX);
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const unused = { path: 'unused', digest: `sha256:${'0'.repeat(64)}`, size: 0 };
  const table = { file: unused, rows: 1, width: 1 };
  const calibration = { scale: 1, bias: 0 };
  return ModelManifest.parse({
    name: 'tiny',
    version: '1',
    created_at: '2026-01-01T00:00:00Z',
    space_id: `sha256:${'a'.repeat(64)}`,
    embed_dim: TINY_DIM,
    matryoshka_dims: [TINY_DIM],
    text: {
      tokenizer: {
        type: 'wordpiece',
        vocabulary: unused,
        vocabulary_size: 4,
        pad_id: 0,
        unk_id: 1,
        cls_id: 2,
        sep_id: 3,
      },
      context_length: 4,
      table,
      graph: { file: unused, opset: 17 },
    },
    static: { table },
    image: {
      preprocess: {
        resize_mode: 'shortest',
        size: TINY_SIZE,
        interpolation: 'bicubic',
        crop: 'center',
        mean: [0.5, 0.5, 0.5],
        std: [0.25, 0.25, 0.25],
        color: 'rgb',
      },
      graph: { file: { path: 'image.onnx', digest, size: bytes.length }, opset: 17 },
    },
    calibration: { text_image: calibration, text_text: calibration, image_image: calibration },
    golden: [{ text: 'unused', tier: 'student', embedding: [1], min_cosine: 1 }],
    metrics: {},
    lineage: { recipe: 'none', code: unused.digest, parents: [] },
  });
}

/** What tiny_image_tower.py computes, in double precision. */
export function tinyTower(tensor: Float32Array): number[] {
  const tiles = TINY_SIZE / 4;
  const raw = new Array<number>(TINY_DIM).fill(0);
  tensor.forEach((value, i) => {
    const [channel, y, x] = [Math.floor(i / TINY_SIZE ** 2), Math.floor(i / TINY_SIZE) % TINY_SIZE, i % TINY_SIZE];
    const tile = (channel * tiles + Math.floor(y / 4)) * tiles + Math.floor(x / 4);
    for (let j = 0; j < TINY_DIM; j++) {
      raw[j] = (raw[j] ?? 0) + (value / 16) * Math.fround(Math.sin(tile * TINY_DIM + j + 1));
    }
  });
  const length = Math.hypot(...raw);
  return raw.map((value) => value / length);
}
