// An image encoder behind IAM: a door that lets only rightly signed calls through, as a Lambda function URL does. The keys are the
// Worker's own, or those that STS gives for a token of its own.
import { createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { buffer, text as textOf } from 'node:stream/consumers';
import type { Miniflare } from 'miniflare';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { startEncoder } from '../../api/dev/local-encoder.ts';
import { startWorker } from '../../api/dev/local-worker.ts';
import { answering, freePort } from '../../contracts/command/local-server.ts';
import { isRightlySigned } from '../support/signature.ts';

const KEYS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
const REGION = 'eu-central-1';
const PHOTO = readFileSync(join(import.meta.dirname, '../../contracts/vectors/preprocess/images/cmyk.jpg'));

let encoder: { url: string; stop(): Promise<void> };
let door: Server;
let doorUrl = '';
const workers: Miniflare[] = [];
const seen: { authorization: string; isRight: boolean; traceparent: unknown; requestId: unknown }[] = [];

beforeAll(async () => {
  encoder = await startEncoder({ model: EMBEDDED_MODEL, registry: undefined, pollMs: 1000 });
  door = answering(async (request, response) => {
    const body = await buffer(request);
    const isRight = await isRightlySigned(request, body, { service: 'lambda', region: REGION, credentials: KEYS });
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

interface Answered {
  status: number;
  text: string;
  id: string | null;
}

async function embedPhoto(variables: Record<string, string>): Promise<Answered> {
  return askOf(await start(variables));
}

async function start(variables: Record<string, string>, port = 0): Promise<string> {
  const { platform, url } = await startWorker({ model: EMBEDDED_MODEL, port, encoderUrl: doorUrl, variables });
  workers.push(platform);
  return url;
}

async function askOf(url: string): Promise<Answered> {
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

/** An exchange of tokens as AWS does it: it asks the issuer that the role trusts for its keys, and believes nothing else. */
async function startSts(issuer: string) {
  const asked: { action: string | null; role: string | null; verdict: string }[] = [];
  const server = answering(async (request, response) => {
    const form = new URLSearchParams(await textOf(request));
    const verdict = await judge(form.get('WebIdentityToken') ?? '', issuer).catch(String);
    asked.push({ action: form.get('Action'), role: form.get('RoleArn'), verdict });
    if (verdict !== 'good')
      return void response
        .writeHead(400)
        .end('<ErrorResponse><Error><Code>InvalidIdentityToken</Code></Error></ErrorResponse>');
    response.end(
      `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>${KEYS.accessKeyId}</AccessKeyId>` +
        `<SecretAccessKey>${KEYS.secretAccessKey}</SecretAccessKey><SessionToken>session</SessionToken></Credentials>` +
        '</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>',
    );
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, stop: () => server.close() };
}

async function judge(token: string, issuer: string): Promise<string> {
  const [head = '', body = '', signature = ''] = token.split('.');
  const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString());
  const { jwks_uri, ...configuration } = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
  if (configuration.issuer !== issuer) return 'another issuer';
  const { keys } = await (await fetch(jwks_uri)).json();
  if (JSON.stringify(keys).includes('"d"')) return 'the private key is shown';
  const { alg, kid } = read(head);
  const key = keys.find((each: { kid: string }) => each.kid === kid);
  if (alg !== 'ES256' || key === undefined) return 'no such key';
  const publicKey = { key: createPublicKey({ key, format: 'jwk' }), dsaEncoding: 'ieee-p1363' as const };
  if (!verify('sha256', Buffer.from(`${head}.${body}`), publicKey, Buffer.from(signature, 'base64url')))
    return 'forged';
  const { iss, aud, sub, iat, exp } = read(body);
  const now = Date.now() / 1000;
  const isNow = iat <= now + 1 && now < exp && exp - iat <= 3600;
  return iss === issuer && aud === 'sts.amazonaws.com' && sub === 'worker' && isNow ? 'good' : 'other claims';
}

async function newKey(): Promise<string> {
  const { privateKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
    'sign',
    'verify',
  ]);
  return JSON.stringify(await crypto.subtle.exportKey('jwk', privateKey));
}

it('is called with keys of a role, for a token that the Worker signs itself: one exchange for many requests', async () => {
  const port = await freePort(0);
  const issuer = `http://127.0.0.1:${port}`;
  const sts = await startSts(issuer);
  const role = 'arn:aws:iam::123456789012:role/worker';
  const variables = {
    WORKER_ISSUER: issuer,
    WORKER_IDENTITY: await newKey(),
    WORKER_ROLE_ARN: role,
    AWS_ENDPOINT_URL_STS: sts.url,
    AWS_REGION: REGION,
    CACHE: 'off',
  };
  const url = await start(variables, port);
  for (let times = 0; times < 2; times++) {
    const { status, text } = await askOf(url);
    expect([status, text]).toEqual([200, expect.stringContaining('"embedding"')]);
    expect(seen.at(-1)?.isRight).toBe(true);
    expect(seen.at(-1)?.authorization).toContain('x-amz-security-token');
  }
  expect(sts.asked).toEqual([{ action: 'AssumeRoleWithWebIdentity', role, verdict: 'good' }]);
  sts.stop();
});
