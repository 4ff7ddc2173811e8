// Telling of the end of a job: once it has ended, until it is taken, and not again; every attempt is signed anew.
import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { openJobFolder } from '../../../../api/bulk/service/folder.ts';
import { stopOf } from '../../../../api/bulk/service/states.ts';
import { type Send, tellOfEnd } from '../../../../api/bulk/service/webhook.ts';
import { encodeDocument } from '../../../../api/registry/store.ts';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { BulkTold } from '../../../../contracts/src/bulk/job.ts';
import { newFolder, runJob, writeLines } from '../jobs.ts';

// The secret of the specification's example.
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

interface Sent {
  url: string;
  headers: Record<string, string>;
  body: string;
}

/** Answers each attempt with the next status; an error where it is none. */
function receiver(statuses: (number | string)[]) {
  const sent: Sent[] = [];
  const send: Send = async (url, { headers, body }) => {
    sent.push({ url, headers: headers as Record<string, string>, body: await (body as Blob).text() });
    const status = statuses[sent.length - 1];
    if (typeof status !== 'number') throw new Error(status);
    return new Response(null, { status });
  };
  return { sent, send };
}

async function finished() {
  const { folder, job } = await runJob({
    input: { jsonl: writeLines(newFolder('in'), [{ custom_id: '1', text: ' ' }]) },
  });
  const webhook = { schema_version: 1, job: job.id, url: 'https://example.com/jobs', secret: SECRET };
  await folder.put('webhook.json', encodeDocument(webhook));
  const told = async () => BulkTold.parse(JSON.parse((await (await folder.get('webhook-sent.json'))?.text()) ?? '{}'));
  return { folder, job, told };
}

const isSigned = ({ headers, body }: Sent): boolean => {
  const key = Buffer.from(SECRET.slice(6), 'base64');
  const text = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  return headers['webhook-signature'] === `v1,${createHmac('sha256', key).update(text).digest('base64')}`;
};

test('a finished job is told with its counts and signed, and told once', async () => {
  const { folder, job, told } = await finished();
  const { sent, send } = receiver([204]);
  expect(await tellOfEnd(folder, { send })).toBe(true);
  expect(await tellOfEnd(folder, { send })).toBe(true);
  expect(sent).toHaveLength(1);
  expect(sent.map(isSigned)).toEqual([true]);
  const { type, data } = JSON.parse(sent[0]?.body ?? '{}');
  expect([type, data.id, data.request_counts, data.files]).toEqual([
    'job.completed',
    job.id,
    { total: 1, completed: 0, failed: 1 },
    undefined,
  ]);
  expect(Math.abs(Number(sent[0]?.headers['webhook-timestamp']) - Date.now() / 1000)).toBeLessThan(60);
  expect(await told()).toMatchObject({ told: true, attempts: 1, reason: null });
});

test('it is sent again until something answers with 2xx, under the same id', async () => {
  const { folder, told } = await finished();
  const { sent, send } = receiver([500, 'connection refused', 200]);
  await tellOfEnd(folder, { send, pausesMs: [1, 1, 1] });
  expect(sent.map(isSigned)).toEqual([true, true, true]);
  expect(new Set(sent.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  expect(await told()).toMatchObject({ told: true, attempts: 3 });
});

test('it is given up with what came back last, a redirection among it', async () => {
  const { folder, told } = await finished();
  const { send } = receiver([500, 307]);
  await tellOfEnd(folder, { send, pausesMs: [1] });
  expect(await told()).toMatchObject({ told: false, attempts: 2, reason: 'it answered 307' });
});

test('what nobody takes is sent again after as long as was waited, for a day, and then no more', async () => {
  const { folder, told } = await finished();
  const { sent, send } = receiver([]);
  const end = Math.floor(Date.now() / 1000) * 1000 + 1000;
  const minutes: number[] = [];
  let settled: number | undefined;
  for (let minute = 0; settled === undefined && minute < 3000; minute++) {
    const before = sent.length;
    const isSettled = await tellOfEnd(folder, { send, pausesMs: [], now: () => end + minute * 60_000 });
    if (sent.length > before) minutes.push(minute);
    if (isSettled) settled = minute;
  }
  const [first, second = 0, ...others] = minutes;
  expect([first, second]).toEqual([0, expect.toSatisfy((minute) => minute === 5 || minute === 6)]);
  for (const [at, minute] of others.entries()) {
    const before = minutes[at + 1] ?? 0;
    // The clock is looked at once a minute.
    expect(minute - 2 * before).toBeOneOf([0, 1]);
  }
  expect(minutes.at(-1)).toBeLessThanOrEqual(24 * 60);
  expect(2 * (minutes.at(-1) ?? 0)).toBeGreaterThan(24 * 60);
  expect(settled).toBe((minutes.at(-1) ?? 0) + 1);
  expect(await told()).toMatchObject({ told: false, attempts: minutes.length });
});

test('nothing is told of a job that goes on, and a cancelled one is told as that', async () => {
  const { job } = await finished();
  const folder = openJobFolder(openStore(`file://${newFolder('other')}`));
  await folder.begin(job);
  const webhook = { schema_version: 1, job: job.id, url: 'https://example.com/jobs', secret: SECRET };
  await folder.put('webhook.json', encodeDocument(webhook));
  const { sent, send } = receiver([200, 200]);
  await tellOfEnd(folder, { send });
  expect(sent).toEqual([]);
  await folder.stop(stopOf(job.id, 'cancelled', { message: 'It was cancelled.', shard: null }));
  await tellOfEnd(folder, { send });
  expect(JSON.parse(sent[0]?.body ?? '{}')).toMatchObject({ type: 'job.cancelled', data: { status: 'cancelled' } });
});
