// An image encoder behind IAM: a door that lets only rightly signed calls through, as a Lambda function URL does.
import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { SignatureV4 } from '@smithy/signature-v4';
import type { Miniflare } from 'miniflare';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { startEncoder } from '../../api/dev/local-encoder.ts';
import { startWorker } from '../../api/dev/local-worker.ts';

const KEYS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
const REGION = 'eu-central-1';
const PHOTO = readFileSync(join(import.meta.dirname, '../../contracts/vectors/preprocess/images/cmyk.jpg'));

type Data = string | ArrayBuffer | ArrayBufferView;

/** The reference implementation's hash, as it wants to be given it. */
class Sha256 {
  readonly #hash: Hash | Hmac;
  constructor(secret?: Data) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(secret));
  }
  update(data: Data): void {
    this.#hash.update(bytesOf(data));
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
}

function bytesOf(data: Data): string | Uint8Array {
  if (typeof data === 'string') return data;
  return data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

let encoder: { url: string; stop(): Promise<void> };
let door: Server;
let doorUrl = '';
const workers: Miniflare[] = [];
const seen: { authorization: string; isRight: boolean; traceparent: unknown; requestId: unknown }[] = [];

/** Signs what arrived once more with AWS's own implementation and compares. */
async function isRightlySigned(request: IncomingMessage, body: Buffer): Promise<boolean> {
  const authorization = request.headers.authorization ?? '';
  const names = /SignedHeaders=([^,]+)/.exec(authorization)?.[1]?.split(';') ?? [];
  const date = String(request.headers['x-amz-date']);
  const [, y, mo, d, h, mi, s] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date) ?? [];
  const headers = Object.fromEntries(names.map((name) => [name, String(request.headers[name])]));
  const { 'x-amz-date': _, ...given } = headers;
  const signer = new SignatureV4({
    service: 'lambda',
    region: REGION,
    credentials: KEYS,
    sha256: Sha256,
    applyChecksum: 'x-amz-content-sha256' in headers,
  });
  const signed = await signer.sign(
    { method: request.method ?? '', protocol: 'https:', hostname: 'x', path: request.url ?? '', headers: given, body },
    { signingDate: new Date(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`), signableHeaders: new Set(names) },
  );
  return signed.headers.authorization === authorization.replaceAll(',', ', ').replaceAll(',  ', ', ');
}

beforeAll(async () => {
  encoder = await startEncoder({ model: EMBEDDED_MODEL, registry: undefined, pollMs: 1000 });
  door = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const isRight = await isRightlySigned(request, body);
    const { authorization = '', traceparent, 'x-request-id': requestId } = request.headers;
    seen.push({ authorization, isRight, traceparent, requestId });
    if (!isRight) return void response.writeHead(403).end('{"Message":"Forbidden"}');
    const answer = await fetch(`${encoder.url}${request.url}`, {
      method: 'POST',
      headers: { 'content-type': request.headers['content-type'] ?? '' },
      body,
    });
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
  });
  await new Promise<void>((listening) => door.listen(0, '127.0.0.1', listening));
  doorUrl = `http://127.0.0.1:${(door.address() as AddressInfo).port}`;
});
afterAll(async () => {
  for (const worker of workers) await worker.dispose();
  door.close();
  await encoder.stop();
});

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

async function embedPhoto(
  variables: Record<string, string>,
): Promise<{ status: number; text: string; id: string | null }> {
  const { platform, url } = await startWorker({ model: EMBEDDED_MODEL, port: 0, encoderUrl: doorUrl, variables });
  workers.push(platform);
  const form = new FormData();
  form.append('image', new Blob([PHOTO]), 'photo.jpg');
  const headers = { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` };
  const response = await fetch(`${url}/embed`, { method: 'POST', body: form, headers });
  return { status: response.status, text: await response.text(), id: response.headers.get('x-request-id') };
}

const SECRETS = {
  AWS_ACCESS_KEY_ID: KEYS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: KEYS.secretAccessKey,
  AWS_REGION: REGION,
};

it('is called with a signature that AWS would accept', async () => {
  const { status, text } = await embedPhoto(SECRETS);
  expect(text).toContain('"embedding"');
  expect(status).toBe(200);
  expect(seen.at(-1)?.authorization).toContain(
    `AKIDEXAMPLE/${new Date().toISOString().slice(0, 10).replaceAll('-', '')}/${REGION}/lambda/aws4_request`,
  );
});

it("is told the request's id and its trace, in a span of its own", async () => {
  const { id } = await embedPhoto(SECRETS);
  expect(seen.at(-1)?.requestId).toBe(id);
  expect(seen.at(-1)?.traceparent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
  expect(seen.at(-1)?.traceparent).not.toContain('00f067aa0ba902b7');
});

it('with other keys is said to be unavailable, and what to look at', async () => {
  const { status, text } = await embedPhoto({
    AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'another',
    AWS_REGION: REGION,
  });
  expect(seen.at(-1)?.isRight).toBe(false);
  expect(status).toBe(503);
  expect(text).toContain('it does not accept our signature (AWS_ACCESS_KEY_ID and its secret)');
});
