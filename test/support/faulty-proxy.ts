// A server in front of another one that answers instead of it, or loses its answers, as a test says.
import { request as call, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { answering } from '../../contracts/command/local-server.ts';

export interface Passed {
  method: string;
  url: string;
  bytes: number;
}

/** An HTTP status instead of an answer, or the answer is lost after the request was done; undefined: nothing happens. */
export type Fault = (request: Passed) => Promise<number | 'lost' | undefined> | number | 'lost' | undefined;

export interface FaultyProxy {
  url: string;
  /** Every request, in the order in which they came whole. */
  passed: Passed[];
  fault: Fault;
  stop(): void;
}

export async function startProxy(target: string): Promise<FaultyProxy> {
  const server = answering(async (request, response) => {
    const body = await buffer(request);
    const passed = { method: request.method ?? '', url: request.url ?? '', bytes: body.byteLength };
    proxy.passed.push(passed);
    const fault = await proxy.fault(passed);
    if (typeof fault === 'number') return void response.writeHead(fault).end('<Error><Code>Fault</Code></Error>');
    const answer = await forward(target, request, body);
    const content = await buffer(answer);
    if (fault === 'lost') return void response.destroy();
    response.writeHead(answer.statusCode ?? 500, answer.headers).end(content);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const proxy: FaultyProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    passed: [],
    fault: () => undefined,
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
  return proxy;
}

/** With all headers, the signed host among them. */
function forward(target: string, { method, url, headers }: IncomingMessage, body: Buffer): Promise<IncomingMessage> {
  const { expect: _, ...sent } = headers;
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(target);
    call({ hostname, port, path: url, method, headers: sent }, resolve).once('error', reject).end(body);
  });
}
