// Serves the files of the comparison with transformers.js to Chromium, on this machine only.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname } from 'node:path';

const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

export interface FileServer {
  url: string;
  close(): void;
}

/** `find`: the file of a path or, as bytes, its content; undefined: there is none. */
export async function serveFiles(find: (path: string) => string | Uint8Array | undefined): Promise<FileServer> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://127.0.0.1');
    const found = find(pathname);
    if (found === undefined) return response.writeHead(404).end();
    const type = TYPES[extname(pathname)] ?? 'application/octet-stream';
    // Isolated from other origins a page's clock has steps of 5 µs, otherwise of 100.
    const isolation = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };
    response.writeHead(200, { 'content-type': type, ...isolation });
    return response.end(typeof found === 'string' ? readFileSync(found) : found);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, close: () => void server.close() };
}
