// Credentials of a role: how long they serve, when they are renewed, and what becomes of a renewal that fails.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { assumeRole } from '../../../../api/worker/aws/credentials.ts';

const MINUTE = 60_000;
let sts: () => Promise<Response>;
let asked: number[] = [];
let started = 0;
const logged: { event: string; reason: string }[] = [];

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse('2026-11-27T15:00:00Z') });
  started = Date.now();
  asked = [];
  logged.length = 0;
  vi.spyOn(console, 'error').mockImplementation((line: string) => void logged.push(JSON.parse(line)));
  sts = gives;
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** The n-th keys that STS gave. */
async function gives(): Promise<Response> {
  return new Response(
    `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AK${asked.length}</AccessKeyId>` +
      '<SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken></Credentials>' +
      '</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>',
  );
}
const busy = async () => new Response('<Error><Code>ServiceUnavailable</Code></Error>', { status: 503 });

const role = () =>
  assumeRole({
    role: 'arn:aws:iam::123456789012:role/worker',
    region: 'eu-central-1',
    token: async () => 'signed',
    send: async () => {
      asked.push((Date.now() - started) / MINUTE);
      return sts();
    },
  });

it('the same ones serve for four fifths of their hour, then others', async () => {
  const keys = role();
  expect((await keys()).accessKeyId).toBe('AK1');
  vi.setSystemTime(started + 47 * MINUTE);
  expect((await keys()).accessKeyId).toBe('AK1');
  vi.setSystemTime(started + 49 * MINUTE);
  expect((await keys()).accessKeyId).toBe('AK2');
  expect(asked).toEqual([0, 49]);
  expect(logged).toEqual([]);
});

it('while STS does not answer the old ones serve until they expire; it is asked once a minute, and that is logged', async () => {
  const keys = role();
  await keys();
  sts = busy;
  for (let second = 0; second < 11 * 60; second += 5) {
    vi.setSystemTime(started + 48 * MINUTE + second * 1000);
    expect((await keys()).accessKeyId).toBe('AK1');
  }
  expect(asked).toEqual([0, ...Array.from({ length: 11 }, (_, minute) => 48 + minute)]);
  expect(logged).toHaveLength(11);
  expect(logged[0]).toMatchObject({
    event: 'credentials_not_renewed',
    reason: expect.stringContaining('STS: it answered 503 ServiceUnavailable'),
    expires_at: '2026-11-27T16:00:00.000Z',
  });
  vi.setSystemTime(started + 60 * MINUTE);
  await expect(keys()).rejects.toThrow('AWS gave this Worker no credentials (STS: it answered 503 ServiceUnavailable)');
  sts = gives;
  expect((await keys()).accessKeyId).toBe(`AK${asked.length}`);
});

it('a later renewal succeeds', async () => {
  const keys = role();
  await keys();
  sts = busy;
  vi.setSystemTime(started + 50 * MINUTE);
  await keys();
  sts = gives;
  vi.setSystemTime(started + 52 * MINUTE);
  expect((await keys()).accessKeyId).toBe('AK3');
  expect((await keys()).accessKeyId).toBe('AK3');
});

it('nobody waits for a renewal that takes its time, but whoever asks for it', async () => {
  const keys = role();
  await keys();
  let answer = (_: Response): void => {};
  sts = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  vi.setSystemTime(started + 50 * MINUTE);
  const renewing = keys();
  expect((await keys()).accessKeyId).toBe('AK1');
  await vi.waitFor(() => expect(asked).toHaveLength(2));
  answer(await gives());
  expect((await renewing).accessKeyId).toBe('AK2');
  expect((await keys()).accessKeyId).toBe('AK2');
});

it('an answer that breaks off gives none, which is told as what is not available', async () => {
  sts = async () => {
    const body = new ReadableStream({ start: (controller) => controller.error(new TypeError('terminated')) });
    return new Response(body);
  };
  const refused = { code: 'encoder_unavailable', message: expect.stringContaining('(STS: its answer broke off)') };
  await expect(role()()).rejects.toMatchObject(refused);
});
