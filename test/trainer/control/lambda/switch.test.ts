// The switch of spending against the APIs of Batch, Scheduler and Step Functions over HTTP, as far as it calls them.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { ENVARS } from '../../../../contracts/src/envars.ts';

const QUEUES = [
  'arn:aws:batch:us-east-1:123456789012:job-queue/gpu',
  'arn:aws:batch:us-east-1:123456789012:job-queue/cpu',
];
const MACHINE = 'arn:aws:states:us-east-1:123456789012:stateMachine:training';
const [GPU = '', CPU = ''] = QUEUES;

/** What an account holds. */
interface Account {
  queues: Record<string, string>;
  jobs: Record<string, { queue: string; status: string; reason?: string }>;
  schedules: Record<string, Record<string, unknown>>;
  executions: Record<string, { status: string; cause?: string }>;
  /** Paths that are refused. */
  refused: string[];
}
let account: Account;
const schedule = (Name: string) => ({
  Name,
  GroupName: 'default',
  Description: 'Trains again',
  State: 'ENABLED',
  ScheduleExpression: 'cron(0 2 ? * SUN *)',
  ScheduleExpressionTimezone: 'Europe/Berlin',
  FlexibleTimeWindow: { Mode: 'FLEXIBLE', MaximumWindowInMinutes: 60 },
  Target: { Arn: MACHINE, RoleArn: 'arn:aws:iam::123456789012:role/start', Input: '{"recipe":"embedded"}' },
});

/** Answers a call as AWS does, and changes the account. */
function answer(path: string, target: string, method: string, body: Record<string, unknown>): object {
  if (account.refused.includes(path)) throw new Error('not allowed');
  const name = decodeURIComponent(path.split('/').at(-1) ?? '');
  if (path === '/v1/updatejobqueue') {
    account.queues[String(body.jobQueue)] = String(body.state);
    return {};
  }
  if (path === '/v1/listjobs') {
    const found = Object.entries(account.jobs).filter(
      ([, { queue, status }]) => queue === body.jobQueue && status === body.jobStatus,
    );
    // A page at a time.
    const index = Number(body.nextToken ?? 0);
    const [id] = found[index] ?? [];
    return {
      jobSummaryList: id === undefined ? [] : [{ jobId: id, jobName: id }],
      ...(index + 1 < found.length ? { nextToken: String(index + 1) } : {}),
    };
  }
  if (path === '/v1/terminatejob') {
    Object.assign(account.jobs[String(body.jobId)] ?? {}, { status: 'FAILED', reason: body.reason });
    return {};
  }
  if (path.startsWith('/schedules/') && method === 'GET')
    return { Arn: `arn:schedule/${name}`, CreationDate: 1, ...account.schedules[name] };
  if (path.startsWith('/schedules/')) {
    // What an update does not say, a schedule no longer has.
    const { ClientToken: _, ...said } = body;
    account.schedules[name] = { Name: name, ...said };
    return { ScheduleArn: `arn:schedule/${name}` };
  }
  if (target === 'AWSStepFunctions.ListExecutions') {
    const executions = Object.entries(account.executions).filter(([, { status }]) => status === body.statusFilter);
    return {
      executions: executions.map(([executionArn]) => ({ executionArn, stateMachineArn: MACHINE, startDate: 1 })),
    };
  }
  if (target === 'AWSStepFunctions.StopExecution') {
    account.executions[String(body.executionArn)] = { status: 'ABORTED', cause: String(body.cause) };
    return { stopDate: 1 };
  }
  throw new Error(`unknown: ${method} ${path} ${target}`);
}

let server: Server;
let handler: (event: unknown) => Promise<unknown>;
beforeAll(async () => {
  server = createServer(async (request, response) => {
    const body = await text(request);
    response.setHeader('content-type', 'application/json');
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    try {
      const target = String(request.headers['x-amz-target'] ?? '');
      response.end(JSON.stringify(answer(pathname, target, request.method ?? '', JSON.parse(body || '{}'))));
    } catch (error) {
      response.statusCode = 403;
      response.setHeader('x-amzn-errortype', 'AccessDeniedException');
      response.end(JSON.stringify({ message: String(error) }));
    }
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  for (const [name, value] of Object.entries({
    AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'testing',
    AWS_SECRET_ACCESS_KEY: 'testing',
    [ENVARS.spending]: JSON.stringify({
      queues: QUEUES,
      state_machine: MACHINE,
      schedules: [
        { name: 'weekly', enabled: true },
        { name: 'never', enabled: false },
      ],
    }),
  }))
    vi.stubEnv(name, value);
  ({ handler } = await import('../../../../trainer/control/lambda/switch.ts'));
});
afterAll(() => {
  server.close();
  vi.unstubAllEnvs();
});
beforeEach(() => {
  vi.spyOn(console, 'log').mockImplementation(() => {});
  account = {
    queues: { [GPU]: 'ENABLED', [CPU]: 'ENABLED' },
    jobs: {
      running: { queue: GPU, status: 'RUNNING' },
      waiting: { queue: GPU, status: 'RUNNABLE' },
      another: { queue: GPU, status: 'RUNNABLE' },
      reading: { queue: CPU, status: 'STARTING' },
      ended: { queue: CPU, status: 'SUCCEEDED' },
      foreign: { queue: 'arn:of-somebody-else', status: 'RUNNING' },
    },
    schedules: { weekly: schedule('weekly'), never: { ...schedule('never'), State: 'DISABLED' } },
    executions: { 'arn:execution:1': { status: 'RUNNING' }, 'arn:execution:0': { status: 'SUCCEEDED' } },
    refused: [],
  };
});

it('a budget that is used up stops queues, schedules, executions and jobs, and nobody else’s', async () => {
  const message = 'Budget edge-clip-prod: ACTUAL > 100 %';
  const report = await handler({
    Records: [{ EventSource: 'aws:sns', Sns: { Message: message, Subject: 'AWS Budgets' } }],
  });
  expect(report).toEqual({ action: 'stop', reason: message, queues: 2, schedules: 2, executions: 1, jobs: 4 });
  expect(account.queues).toEqual({ [GPU]: 'DISABLED', [CPU]: 'DISABLED' });
  expect(account.executions).toEqual({
    'arn:execution:1': { status: 'ABORTED', cause: message },
    'arn:execution:0': { status: 'SUCCEEDED' },
  });
  for (const id of ['running', 'waiting', 'another', 'reading'])
    expect(account.jobs[id]).toMatchObject({ status: 'FAILED', reason: `stopped: ${message}` });
  expect(account.jobs.ended?.status).toBe('SUCCEEDED');
  expect(account.jobs.foreign?.status).toBe('RUNNING');
});

it('a schedule that is stopped and started again is as it was', async () => {
  await handler({ action: 'stop', reason: 'a test' });
  expect(account.schedules.weekly).toEqual({ ...schedule('weekly'), State: 'DISABLED' });
  const report = await handler({ action: 'resume' });
  expect(report).toEqual({ action: 'resume', reason: 'by hand', queues: 2, schedules: 1, executions: 0, jobs: 0 });
  expect(account.queues).toEqual({ [GPU]: 'ENABLED', [CPU]: 'ENABLED' });
  expect(account.schedules.weekly).toEqual(schedule('weekly'));
});

it('starting again switches on no schedule that the settings leave off', async () => {
  await handler({ action: 'stop' });
  await handler({ action: 'resume' });
  expect(account.schedules.never?.State).toBe('DISABLED');
});

it('what AWS refuses keeps nothing else running, and fails the call', async () => {
  account.refused = ['/schedules/weekly', '/v1/listjobs'];
  await expect(handler({ action: 'stop' })).rejects.toThrow(/AWS refused 2 calls: .*AccessDenied/);
  expect(account.queues).toEqual({ [GPU]: 'DISABLED', [CPU]: 'DISABLED' });
  expect(account.executions['arn:execution:1']?.status).toBe('ABORTED');
  expect(account.schedules.weekly?.State).toBe('ENABLED');
});

it('a call that says neither stop nor resume changes nothing', async () => {
  for (const event of [{}, { action: 'pause' }, { action: 'stop', queues: [] }])
    await expect(handler(event)).rejects.toThrow();
  expect(account.queues).toEqual({ [GPU]: 'ENABLED', [CPU]: 'ENABLED' });
});
