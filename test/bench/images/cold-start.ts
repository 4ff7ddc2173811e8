// A cold start of the encoder's Lambda image: from the start of its process to the first vector, through Lambda's runtime API, emulated over HTTP.
import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { EncodeResponse } from '../../../contracts/src/api/encode.ts';
import { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { replayEncoder } from '../../containers/encoder-files.ts';
import { median } from '../process.ts';

export interface ColdStart {
  starts: number;
  /** From the start of the process until the answer with a vector has arrived; one image is asked for. */
  median_ms: number;
  slowest_ms: number;
  /** Of all threads of the process in that time. */
  cpu_ms: number;
}

/** What the base image's bootstrap does, in short: the handler's file is imported, and events are asked for one after the other. */
const RUNTIME = `
  const { handler } = await import(process.env.LAMBDA_TASK_ROOT + '/encoder/hosts/lambda.mjs');
  const root = 'http://' + process.env.AWS_LAMBDA_RUNTIME_API + '/2018-06-01/runtime/invocation/';
  for (;;) {
    const event = await fetch(root + 'next');
    const id = event.headers.get('lambda-runtime-aws-request-id');
    const reply = await handler(await event.json());
    const { user, system } = process.cpuUsage();
    const headers = { 'x-cpu-ms': String((user + system) / 1e3) };
    await fetch(root + id + '/response', { method: 'POST', headers, body: JSON.stringify(reply) });
  }`;

/** The files of the image are read once before, so that the disk is none of it: Lambda has them near as well. */
export async function measureColdStart(photo: string, starts: number): Promise<ColdStart> {
  const { top, task } = replayEncoder();
  try {
    const { space_id } = ModelManifest.parse(JSON.parse(readFileSync(join(task, 'model/manifest.json'), 'utf8')));
    const body = JSON.stringify({ space_id, images: [readFileSync(photo).toString('base64')] });
    const taken: { ms: number; cpuMs: number }[] = [];
    for (let start = 0; start <= starts; start++) {
      const found = await startOnce(task, body);
      if (start > 0) taken.push(found);
    }
    const times = taken.map(({ ms }) => Math.round(ms));
    return {
      starts,
      median_ms: median(times),
      slowest_ms: Math.max(...times),
      cpu_ms: Math.round(median(taken.map(({ cpuMs }) => cpuMs))),
    };
  } finally {
    rmSync(top, { recursive: true, force: true });
  }
}

async function startOnce(task: string, body: string): Promise<{ ms: number; cpuMs: number }> {
  const event = {
    version: '2.0',
    rawPath: '/encode',
    headers: { 'content-type': 'application/json' },
    requestContext: { requestId: 'first', http: { method: 'POST' } },
    body: Buffer.from(body).toString('base64'),
    isBase64Encoded: true,
  };
  let answered: (answer: { ms: number; cpuMs: number; reply: string }) => void = () => {};
  const answer = new Promise<{ ms: number; cpuMs: number; reply: string }>((resolve) => {
    answered = resolve;
  });
  let isTaken = false;
  let begun = 0;
  const server = createServer(async (request, response) => {
    if (request.method === 'POST') {
      const reply = await text(request);
      answered({ ms: performance.now() - begun, cpuMs: Number(request.headers['x-cpu-ms']), reply });
      response.writeHead(202).end();
    } else if (!isTaken) {
      isTaken = true;
      response.writeHead(200, { 'lambda-runtime-aws-request-id': 'first' }).end(JSON.stringify(event));
    }
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  begun = performance.now();
  const child = spawn(process.execPath, ['--input-type=module', '-e', RUNTIME], {
    cwd: task,
    env: { AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${port}`, LAMBDA_TASK_ROOT: task, PATH: process.env.PATH ?? '' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const said = text(child.stderr);
  const failed = new Promise<never>((_, reject) => {
    child.once('exit', async (code) => reject(new Error(`the handler's process ended with ${code}: ${await said}`)));
  });
  failed.catch(() => {});
  try {
    const { ms, cpuMs, reply } = await Promise.race([answer, failed]);
    const { statusCode, body: answeredBody } = JSON.parse(reply) as { statusCode: number; body: string };
    const statuses = statusCode === 200 ? EncodeResponse.parse(JSON.parse(answeredBody)).results : [];
    if (statuses[0]?.status !== 'ok')
      throw new Error(`the handler answered ${statusCode} ${answeredBody.slice(0, 200)}`);
    return { ms, cpuMs };
  } finally {
    child.kill('SIGKILL');
    server.close();
    server.closeAllConnections();
  }
}
