// Pages of other origins in a real browser: those of this machine ask and read, others do not.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BROWSER, launchBrowser } from '../support/browser.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';

describe.skipIf(!BROWSER)('a page of another origin', () => {
  let server: LocalServer;
  let browser: Browser;
  let site: Server;
  beforeAll(async () => {
    [server, browser] = await Promise.all([startLocalServer(), launchBrowser()]);
    site = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<title>app</title>'));
    await new Promise<void>((ready) => site.listen(0, '127.0.0.1', ready));
  });
  afterAll(async () => {
    site?.close();
    await browser?.close();
    await server?.stop();
  });

  /** What a page at that address gets for a body of JSON, which a browser asks about first. */
  async function ask(from: string, body: object) {
    const page: Page = await browser.newPage();
    try {
      await page.goto(from);
      return await page.evaluate(
        async ({ url, sent }) => {
          try {
            const init = {
              method: 'POST',
              headers: { 'content-type': 'application/json' },
              body: JSON.stringify(sent),
            };
            const response = await fetch(`${url}/v1/embeddings`, init);
            const { data, error } = await response.json();
            return {
              status: response.status,
              items: data?.length,
              code: error?.code,
              id: response.headers.get('x-request-id'),
            };
          } catch (error) {
            return { failed: (error as Error).name };
          }
        },
        { url: server.url, sent: body },
      );
    } finally {
      await page.close();
    }
  }
  const port = () => (site.address() as AddressInfo).port;

  test.each(['localhost', '127.0.0.1'])(
    'from %s on another port it reads vectors, errors and headers',
    async (host) => {
      const from = `http://${host}:${port()}/`;
      expect(await ask(from, { input: ['a dog', 'a cat'] })).toMatchObject({
        status: 200,
        items: 2,
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      });
      expect(await ask(from, { input: '' })).toMatchObject({ status: 400, code: 'empty_input' });
    },
  );

  test('one without an origin of its own reads nothing', async () => {
    expect(await ask('data:text/html,<title>app</title>', { input: 'a dog' })).toEqual({ failed: 'TypeError' });
  });
});
