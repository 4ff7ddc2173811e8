// Refusals that the specification asks of a service, over HTTP: the local one, or a deployed one by
// `EDGE_CLIP_URL=https://… EDGE_CLIP_KEY=ec_… npx vitest run test/conformance`.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { ERROR_STATUS, ErrorBody, ErrorCode } from '../../contracts/src/api/error.ts';
import { type KeyFile, makeKeyFile } from '../support/key-file.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { FAULTS, type Kind, type Refused, refused } from './requests.ts';

const deployed = process.env.EDGE_CLIP_URL?.replace(/\/+$/, '');
let keys: KeyFile | undefined;
let local: LocalServer | undefined;
let url: string;
let requests: Refused[];

beforeAll(async () => {
  if (!deployed) {
    keys = await makeKeyFile();
    local = await startLocalServer({ keys: keys.file, requireKeys: true });
  }
  url = deployed ?? local?.url ?? '';
  const response = await send({ why: 'a text', body: () => ({ input: 'a dog' }) });
  const { space_id, dimensions } = EmbedResponse.parse(await response.json());
  requests = refused(space_id, dimensions);
});
afterAll(async () => {
  await local?.stop();
  keys?.remove();
});

/** Of a deployed service one key is known, which is a good one. */
function secretOf(kind: Refused['key'] = 'good'): string | undefined {
  if (kind === null || kind.startsWith('not ')) return kind ?? undefined;
  return deployed ? process.env.EDGE_CLIP_KEY : keys?.secrets[kind as Kind];
}

function send({ method = 'POST', path = '/embed', type = 'application/json', body, key }: Omit<Refused, 'code'>) {
  const content = body?.();
  const secret = secretOf(key);
  return fetch(`${url}${path}`, {
    method,
    headers: {
      'content-type': type,
      'x-request-id': 'conformance-1',
      ...(secret === undefined ? {} : { authorization: `Bearer ${secret}` }),
    },
    ...(body ? { body: typeof content === 'string' ? content : JSON.stringify(content) } : {}),
  });
}

test('every error code is asked for here or brought about by a fault elsewhere', () => {
  const covered = new Set([...requests.map(({ code }) => code), ...FAULTS]);
  expect([...covered].sort()).toEqual([...ErrorCode.options].sort());
});

describe('mistakes get their own code, status and sentence', () => {
  // The service is not known yet: only names and places are taken from this table. What needs a bad key of ours is
  // left out where we cannot make one.
  const rows = refused('', 0)
    .map(({ code, why, key }, place) => ({ code, why, key, place }))
    .filter(({ key }) => !deployed || key === undefined || key === null || key.startsWith('not '));
  test.each(rows)('$code: $why', async ({ place }) => {
    const request = requests[place];
    if (!request) throw new Error('the table has changed its length');
    const { code, param, item } = request;
    // The first request of its minute is let in.
    if (request.key === 'slow') await send(request);
    const response = await send(request);
    const answer = ErrorBody.parse(await response.json());
    expect([answer.code, answer.status, response.status]).toEqual([code, ERROR_STATUS[code], ERROR_STATUS[code]]);
    expect(answer.type).toBe(`urn:edge-clip:error:${code}`);
    expect(answer.error.message).toBe(answer.detail);
    expect(answer.error.code).toBe(code);
    expect(answer.request_id).toBe('conformance-1');
    expect(response.headers.get('x-request-id')).toBe('conformance-1');
    expect(response.headers.get('content-type')).toContain('application/problem+json');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    if (param !== undefined) expect(answer.error.param).toBe(param);
    if (item !== undefined) expect(answer.item).toBe(item);
    expect(response.headers.get('www-authenticate')).toBe(code === 'unauthorized' ? 'Bearer' : null);
    if (code === 'method_not_allowed') expect(response.headers.get('allow')).toMatch(/POST|GET/);
  });

  test('and the service goes on', async () => {
    expect((await fetch(`${url}/health/ready`)).status).toBe(200);
  });
});
