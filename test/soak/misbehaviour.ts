// Clients that do not behave: connections that are reset, requests that are given up, bodies that come byte by byte.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A request whose body is longer than what was sent of it so far, and its connection. */
async function begin(url: string, { length, body }: { length: number; body: string }): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  await once(socket, 'connect');
  const lines = ['POST /embed HTTP/1.1', `Host: ${hostname}`, 'Content-Type: application/json'];
  socket.write(`${lines.join('\r\n')}\r\nContent-Length: ${length}\r\n\r\n${body}`);
  return socket;
}

/** Sent whole, and the connection reset by TCP while it is computed. */
export async function reset(url: string, body: object, afterMs: number): Promise<void> {
  const text = JSON.stringify(body);
  const socket = await begin(url, { length: Buffer.byteLength(text), body: text });
  await sleep(afterMs);
  socket.resetAndDestroy();
}

/** Given up in an orderly way, as a client's time limit does. */
export async function abort(url: string, body: object, afterMs: number): Promise<void> {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  await fetch(`${url}/embed`, { ...init, signal: AbortSignal.timeout(afterMs) }).catch(() => {});
}

/** A byte every half a second, until `signal` aborts. */
export async function trickle(url: string, signal: AbortSignal): Promise<void> {
  const socket = await begin(url, { length: 10_000, body: '{' });
  while (!signal.aborted && !socket.destroyed) {
    socket.write(' ');
    await sleep(500);
  }
  socket.destroy();
}
