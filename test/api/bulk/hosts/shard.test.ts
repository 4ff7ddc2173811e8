// A child of an array job by its exit code, which decides whether AWS Batch tries it again: what it was told, and what befell its store.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { stopOf } from '../../../../api/bulk/service/states.ts';
import { BulkDone, CANCELLED } from '../../../../contracts/src/bulk/job.ts';
import { FILES } from '../../../../contracts/src/keys.ts';
import { alive, commandOf, treeOf } from '../../../support/process-tree.ts';
import { newFolder, writeImages, writeLines, writeTinyModel } from '../jobs.ts';

const HOSTS = join(import.meta.dirname, '../../../../api/bulk/hosts');
let model = '';
let input = '';
beforeAll(async () => {
  model = writeTinyModel();
  input = newFolder('in');
  await writeImages(input, 3);
});

function run(file: string, words: string[], env: NodeJS.ProcessEnv = {}) {
  const options = { encoding: 'utf8', env: { ...process.env, ...env } } as const;
  const { status, stderr } = spawnSync(process.execPath, [join(HOSTS, file), ...words, '--model', model], options);
  return { status, stderr };
}
/** The folder of a planned job of three shards. */
function planned(): string {
  const output = newFolder('out');
  expect(run('encode.ts', [input, output, '--shard-items', '1', '--plan']).status).toBe(0);
  return output;
}
const child = (job: string, env: NodeJS.ProcessEnv = {}) =>
  run('shard.ts', [job], { AWS_BATCH_JOB_ARRAY_INDEX: '0', AWS_BATCH_JOB_ARRAY_SIZE: '2', ...env });
const marks = (output: string) => readdirSync(output).filter((name) => name.endsWith('.done.json'));
const documentOf = (output: string) => JSON.parse(readFileSync(join(output, FILES.job), 'utf8'));

describe('a child of an array job', () => {
  test('ends well with its own shards, and when they are finished already', () => {
    const output = planned();
    for (const _ of [1, 2]) {
      expect(child(output)).toEqual({ status: 0, stderr: '' });
      expect(marks(output)).toEqual(['part-0000.done.json', 'part-0002.done.json']);
    }
    expect(child(output, { AWS_BATCH_JOB_ARRAY_INDEX: '1' }).status).toBe(0);
    expect(marks(output)).toHaveLength(3);
  });

  test('of a job that was cancelled or has expired is refused, and would be again', () => {
    const cancelled = planned();
    const stop = stopOf(documentOf(cancelled).id, 'cancelled', { message: 'It was cancelled.', shard: null });
    writeFileSync(join(cancelled, FILES.stop), JSON.stringify(stop));
    expect(child(cancelled)).toEqual({
      status: 65,
      stderr: expect.stringContaining('is cancelled: It was cancelled.'),
    });

    const expired = planned();
    const job = { ...documentOf(expired), expires_at: '2026-01-01T00:00:00.000Z' };
    writeFileSync(join(expired, FILES.job), JSON.stringify(job));
    expect(child(expired)).toEqual({
      status: 65,
      stderr: expect.stringContaining('expired at 2026-01-01T00:00:00.000Z'),
    });
    for (const output of [cancelled, expired]) expect(marks(output)).toEqual([]);
  });

  test('that is told to stop goes on later, and does not where its job was cancelled', async () => {
    const image = readFileSync(join(input, '0000.png')).toString('base64');
    const lines = Array.from({ length: 1000 }, (_, at) => ({ custom_id: `${at}`, image }));
    const [path = ''] = writeLines(newFolder('lines'), lines).split('file://').slice(1);
    const output = newFolder('out');
    expect(run('encode.ts', [path, output, '--plan']).status).toBe(0);
    const stopped = async (isCancelled: boolean): Promise<unknown> => {
      const words = [join(HOSTS, 'shard.ts'), output, '--model', model];
      const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'ignore'] });
      const ended = new Promise((resolve) => child.once('close', resolve));
      // The first chunk of some thirty is done.
      await new Promise((resolve) => child.stdout.once('data', resolve));
      const stop = stopOf(documentOf(output).id, 'cancelled', { message: CANCELLED, shard: null });
      if (isCancelled) writeFileSync(join(output, FILES.stop), JSON.stringify(stop));
      child.kill('SIGTERM');
      return ended;
    };
    expect([await stopped(false), await stopped(true), marks(output)]).toEqual([75, 65, []]);
  });

  test('whose store does not answer may be tried again; one without a job may not', () => {
    const nobody = {
      AWS_ENDPOINT_URL: 'http://127.0.0.1:9',
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'key',
      AWS_SECRET_ACCESS_KEY: 'secret',
      AWS_MAX_ATTEMPTS: '1',
    };
    const { status, stderr } = child('s3://bucket/jobs/one', nobody);
    expect([status, stderr]).toEqual([75, expect.stringContaining('the same shard can be done again')]);
    expect(child(newFolder('empty'))).toEqual({ status: 2, stderr: expect.stringContaining('no planned job') });
  });
});

describe('processes beside each other', () => {
  /** A planned job of six shards, and the digests of what one process leaves of it. */
  let [job, wanted] = ['', [] as string[]];
  beforeAll(() => {
    const image = readFileSync(join(input, '0000.png')).toString('base64');
    const lines = Array.from({ length: 1200 }, (_, at) => ({ custom_id: `${at}`, image }));
    const [path = ''] = writeLines(newFolder('lines'), lines).split('file://').slice(1);
    job = newFolder('out');
    expect(run('encode.ts', [path, job, '--shard-items', '200', '--plan']).status).toBe(0);
    const output = copied();
    expect(run('shard.ts', [output, '--workers', '1'])).toEqual({ status: 0, stderr: '' });
    wanted = digests(output);
    expect(wanted).toHaveLength(12);
  }, 120_000);

  const copied = (): string => {
    const output = newFolder('out');
    cpSync(job, output, { recursive: true });
    return output;
  };
  const digests = (output: string): string[] =>
    marks(output)
      .sort()
      .flatMap((name) => BulkDone.parse(JSON.parse(readFileSync(join(output, name), 'utf8'))).files)
      .map(({ digest }) => digest);

  /** Two processes that have begun, and what comes of them. */
  async function begun(output: string) {
    const words = [join(HOSTS, 'shard.ts'), output, '--model', model, '--workers', '2'];
    const parent = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    parent.stderr.on('data', (text: Buffer) => {
      stderr += text;
    });
    const lanes = () =>
      treeOf(parent.pid ?? 0).flatMap((pid) => {
        const [, lane] = /--lane (\S+)/.exec(commandOf(pid)) ?? [];
        return lane === undefined ? [] : [{ pid, lane }];
      });
    const ended = new Promise<number | string | null>((resolve) =>
      parent.once('close', (code, signal) => resolve(code ?? signal)),
    );
    await new Promise((resolve) => parent.stdout.once('data', resolve));
    return { parent, lanes, ended, stderr: () => stderr };
  }

  test('leave what one leaves, each every other shard of the child', () => {
    const output = copied();
    for (const index of ['0', '1']) {
      const array = { AWS_BATCH_JOB_ARRAY_INDEX: index, AWS_BATCH_JOB_ARRAY_SIZE: '2' };
      expect(run('shard.ts', [output, '--workers', '2'], array)).toEqual({ status: 0, stderr: '' });
      expect(marks(output).map((name) => Number(name.slice(5, 9)) % 2)).toEqual(
        index === '0' ? [0, 0, 0] : [0, 1, 0, 1, 0, 1],
      );
    }
    expect(digests(output)).toEqual(wanted);
  }, 120_000);

  test('one that is killed is started again alone', async () => {
    const output = copied();
    const { lanes, ended, stderr } = await begun(output);
    const before = lanes();
    expect(before.map(({ lane }) => lane).sort()).toEqual(['0/2', '1/2']);
    const [killed] = before;
    process.kill(killed?.pid ?? 0, 'SIGKILL');
    expect(await ended).toBe(0);
    const again = stderr().match(/The process of the shards \S+ ended with \S+ and is started again\./g);
    expect(again).toEqual([`The process of the shards ${killed?.lane} ended with SIGKILL and is started again.`]);
    expect(digests(output)).toEqual(wanted);
  }, 120_000);

  test('end with the process that started them, and those of the next attempt leave the same', async () => {
    const output = copied();
    const { parent, lanes, ended } = await begun(output);
    const pids = lanes().map(({ pid }) => pid);
    parent.kill('SIGKILL');
    expect(await ended).toBe('SIGKILL');
    await expect.poll(() => alive(pids), { timeout: 60_000 }).toEqual([]);
    const next = await begun(output);
    next.parent.kill('SIGTERM');
    expect(await next.ended).toBe(75);
    expect(marks(output).length).toBeLessThan(6);
    expect(run('shard.ts', [output]).status).toBe(0);
    expect(digests(output)).toEqual(wanted);
  }, 120_000);
});
