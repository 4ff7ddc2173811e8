// A photograph larger than what a call to the encoder's platform may carry: it goes through a bucket, and is answered as any other.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Miniflare } from 'miniflare';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { startEncoder } from '../../api/dev/local-encoder.ts';
import { startWorker } from '../../api/dev/local-worker.ts';
import { type LocalBucket, startBucket } from '../../api/dev/s3/endpoint.ts';
import { openStore } from '../../api/registry/stores/open.ts';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { EncodeResponse } from '../../contracts/src/api/encode.ts';
import { LIMITS } from '../../contracts/src/api/limits.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import { uploadKey } from '../../contracts/src/keys.ts';
import { digestOf } from '../support/registry.ts';

const KEYS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
const REGION = 'eu-central-1';
const BUCKET = 'edge-clip-jobs';
/** As wrangler.toml has it. */
const MAX_BYTES = 4_400_000;
const SMALL = readFileSync(new URL('../../api/playground/samples/cat.jpg', import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'uploads-'));
let s3: LocalBucket;
let encoder: { url: string; stop(): Promise<void> };
let worker: Miniflare | undefined;
/** Noise is what compresses worst: a JPEG just below the limit of the API. */
let photo: Buffer;

beforeAll(async () => {
  const store = openStore(`file://${folder}`);
  s3 = await startBucket({ bucket: BUCKET, keys: { ...KEYS, region: REGION }, store: () => store });
  const environment = {
    [ENVARS.uploads]: `s3://${BUCKET}`,
    AWS_ENDPOINT_URL_S3: s3.url,
    AWS_REGION: REGION,
    AWS_ACCESS_KEY_ID: KEYS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: KEYS.secretAccessKey,
  };
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  encoder = await startEncoder({ model: EMBEDDED_MODEL, registry: undefined, pollMs: 1000 });
  const noise = { create: { width: 1900, height: 1900, channels: 3 as const, background: '#888' } };
  const raw = sharp({ ...noise, create: { ...noise.create, noise: { type: 'gaussian', mean: 128, sigma: 60 } } });
  photo = await raw.jpeg({ quality: 90, chromaSubsampling: '4:4:4' }).toBuffer();
}, 180_000);
afterAll(async () => {
  await worker?.dispose();
  await encoder?.stop();
  s3?.stop();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

async function embed(variables: Record<string, string>, ...files: Buffer[]) {
  const started = await startWorker({ model: EMBEDDED_MODEL, port: 0, encoderUrl: encoder.url, variables });
  worker = started.platform;
  const form = new FormData();
  for (const file of files) form.append('image', new Blob([new Uint8Array(file)]), 'photo.jpg');
  form.append('types', 'base64');
  return fetch(`${started.url}/embed`, { method: 'POST', body: form });
}

const IN_THE_CLOUD = {
  ENCODER_MAX_BYTES: String(MAX_BYTES),
  AWS_ACCESS_KEY_ID: KEYS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: KEYS.secretAccessKey,
  AWS_REGION: REGION,
};

test('it is staged under its digest, and has the vector that the encoder gives for its bytes', async () => {
  expect(photo.length).toBeGreaterThan(MAX_BYTES);
  expect(photo.length).toBeLessThan(LIMITS.image_bytes);
  const staging = { ...IN_THE_CLOUD, UPLOADS: `s3://${BUCKET}`, AWS_ENDPOINT_URL_S3: s3.url };
  const staged = await embed(staging, SMALL, photo);
  expect(await staged.clone().text()).toContain('"embedding"');
  const { data, space_id } = EmbedResponse.parse(await staged.json());
  expect(s3.refused).toBe(0);
  const keys = (await openStore(`file://${folder}`).list('')).map(({ key }) => key);
  expect(keys).toEqual([uploadKey(digestOf(photo))]);
  const straight = await fetch(`${encoder.url}/encode`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ space_id, images: [SMALL, photo].map((file) => file.toString('base64')) }),
  });
  const { results } = EncodeResponse.parse(await straight.json());
  expect(data.map(({ embedding }) => embedding)).toEqual(
    results.map((result) => (result.status === 'ok' ? result.embedding : result.message)),
  );
}, 240_000);
