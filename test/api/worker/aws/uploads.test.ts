// Uploads: addresses signed as AWS's own implementation signs them, for one file of one size; and a store that does not answer.
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SignatureV4 } from '@smithy/signature-v4';
import { describe, expect, it, vi } from 'vitest';
import { openUploads } from '../../../../api/worker/aws/uploads.ts';
import { uploadKey } from '../../../../contracts/src/keys.ts';
import { Sha256 } from '../../../support/signature.ts';

const KEYS = {
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  sessionToken: 'of a role',
};
const REGION = 'eu-central-1';
/** SHA-256 of `foo`, in hexadecimal digits and in base64 (RFC 6234's implementation). */
const FOO = 'sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae';
const FOO_BASE64 = 'LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=';

describe('a store that gives no answer', () => {
  const listen = async (answer: RequestListener): Promise<[endpoint: string, stop: () => void]> => {
    const server = createServer(answer).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    return [`http://127.0.0.1:${port}`, () => void server.close().closeAllConnections()];
  };
  const open = (endpoint: string) =>
    openUploads({ uri: 's3://bucket', region: REGION, endpoint, keys: async () => KEYS, readMs: 200 });
  const unavailable = { code: 'encoder_unavailable', details: { retryAfterSeconds: 5 } };

  it.each<[string, RequestListener]>([
    ['that is silent', () => {}],
    ['that breaks off', (_, response) => void response.writeHead(200, { 'content-length': '9' }).write('abc')],
    ['that hangs up', ({ socket }) => socket.destroy()],
  ])('%s is told as what is not available, and not waited for', async (_, answer) => {
    const [endpoint, stop] = await listen(answer);
    const reading = open(endpoint).read(FOO);
    await expect(reading).rejects.toMatchObject(unavailable);
    stop();
  });

  it('that is not there is told so', async () => {
    const [endpoint, stop] = await listen(() => {});
    stop();
    await expect(open(endpoint).read(FOO)).rejects.toMatchObject(unavailable);
  });
});

it('an address is what the reference signs, length and checksum included, and holds for a quarter of an hour', async () => {
  vi.useFakeTimers({ now: Date.parse('2026-11-27T15:00:00Z') });
  const uploads = openUploads({ uri: 's3://bucket', region: REGION, keys: async () => KEYS });
  const { url, headers, expires_at, image, uri } = await uploads.presign({ digest: FOO, bytes: 3 });
  const host = `bucket.s3.${REGION}.amazonaws.com`;
  const signed = { host, 'content-length': '3', 'x-amz-checksum-sha256': FOO_BASE64 };
  const signer = new SignatureV4({
    service: 's3',
    region: REGION,
    credentials: KEYS,
    sha256: Sha256,
    uriEscapePath: false,
    applyChecksum: false,
  });
  const reference = await signer.presign(
    {
      method: 'PUT',
      protocol: 'https:',
      hostname: host,
      path: `/${uploadKey(FOO)}`,
      headers: { ...signed, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' },
      query: {},
    },
    {
      expiresIn: 900,
      signableHeaders: new Set(Object.keys(signed)),
      unhoistableHeaders: new Set([...Object.keys(signed), 'x-amz-content-sha256']),
      unsignableHeaders: new Set(['x-amz-content-sha256']),
    },
  );
  vi.useRealTimers();
  const { origin, pathname, searchParams } = new URL(url);
  expect(`${origin}${pathname}`).toBe(`https://${host}/${uploadKey(FOO)}`);
  expect(Object.fromEntries(searchParams)).toEqual(reference.query);
  expect(headers).toEqual({ 'x-amz-checksum-sha256': FOO_BASE64 });
  expect([image, uri, expires_at]).toEqual([
    `upload:${FOO}`,
    `s3://bucket/${uploadKey(FOO)}`,
    '2026-11-27T15:15:00.000Z',
  ]);
});
