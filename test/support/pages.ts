// The service's pages in a real browser: a server, a browser, and fresh pages on which any complaint fails the test.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import type { LocalOptions } from '../../api/dev/local.ts';
import { launchBrowser } from './browser.ts';
import { type LocalServer, startLocalServer } from './local-server.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export interface Visit extends BrowserContextOptions {
  /** Below the server's address. */
  path?: string;
  /** Before anything is loaded, such as routes that answer in the server's place. */
  before?: (page: Page) => Promise<void>;
  /** Instead of the shared one. */
  url?: string;
}

/** Call it inside of a `describe`; what it opens is closed with that. `options`: of its server. */
export function openPages(options: Partial<LocalOptions> = {}) {
  let server: LocalServer;
  let browser: Browser;
  beforeAll(async () => {
    [server, browser] = await Promise.all([startLocalServer(options), launchBrowser()]);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** Fails where the page complains and where it asks anybody but the server for anything. */
  async function visit({ path = '/', before, url, ...context }: Visit, use: (page: Page) => Promise<void>) {
    const origin = url ?? server.url;
    const opened = await browser.newContext(context);
    try {
      const page = await opened.newPage();
      const complaints: string[] = [];
      page.on('request', (request) => {
        if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(origin)) complaints.push(request.url());
      });
      page.on('pageerror', (error) => complaints.push(String(error)));
      page.on('console', (message) => {
        // A refused request is what some tests bring about; the page has to show it, which they look at.
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
          complaints.push(message.text());
      });
      await before?.(page);
      await page.goto(`${origin}${path}`);
      await use(page);
      expect(complaints).toEqual([]);
    } finally {
      await opened.close();
    }
  }
  return { visit, server: () => server };
}

/** Pixels that the page is wider than its window. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** Violations of WCAG 2.2 AA and of good practice that axe-core finds, as `rule: element`. */
export async function violations(page: Page): Promise<string[]> {
  // Past the page's policy, which allows no script but its own.
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    // biome-ignore lint/suspicious/noExplicitAny: the script defines it
    const { violations: found } = await (globalThis as any).axe.run();
    // biome-ignore lint/suspicious/noExplicitAny: as above
    return found.flatMap(({ id, nodes }: any) => nodes.map(({ html }: any) => `${id}: ${html}`));
  });
}
