// The page of the interface in a real browser: every operation is there, examples are sent, nothing comes from elsewhere.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Operation } from '../../../contracts/src/api/operation.ts';
import { OPERATIONS } from '../../../contracts/src/api/operations.ts';
import { BROWSER, launchBrowser } from '../../support/browser.ts';
import { type LocalServer, startLocalServer } from '../../support/local-server.ts';

const ALL = Object.entries<Operation>(OPERATIONS);

describe.skipIf(!BROWSER)('the page of the interface', () => {
  let server: LocalServer;
  let browser: Browser;
  beforeAll(async () => {
    [server, browser] = await Promise.all([startLocalServer(), launchBrowser()]);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  test('shows every operation, its fields and its answers, and sends an example that was changed', async () => {
    const page = await browser.newPage();
    const elsewhere: string[] = [];
    const complaints: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url) && !request.url().startsWith('data:')) elsewhere.push(request.url());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    await page.goto(`${server.url}/docs`);
    await page.locator('#operation-embed').waitFor();
    const titles = await page.locator('main h2').allTextContents();
    expect(titles.sort()).toEqual(ALL.map(([, { method, path, summary }]) => `${method} ${path} ${summary}`).sort());

    const embed = page.locator('#operation-embed');
    await embed.getByText('Fields of the body').click();
    const field = embed.getByRole('row', { name: /^dimensions \(optional\)/ }).first();
    expect(await field.textContent()).toMatch(/integer.*Length of the vectors/);
    await embed.getByText('Example: one').click();
    await embed.getByLabel('Body of one').fill('{"input": "a cat", "dimensions": 64}');
    await embed.getByRole('button', { name: 'Send' }).first().click();
    const answer = embed.locator('[data-answer="one"]');
    await expect.poll(() => answer.textContent()).toMatch(/^200\n\{"object":"list"/);
    expect(await embed.locator('pre').filter({ hasText: 'curl' }).first().textContent()).toContain('"dimensions": 64');

    await embed.getByLabel('Body of one').fill('{"inputt": "a cat"}');
    await embed.getByRole('button', { name: 'Send' }).first().click();
    await expect.poll(() => answer.textContent()).toMatch(/^400\n.*inputt/);
    expect(elsewhere).toEqual([]);
    expect(complaints.filter((text) => !text.startsWith('Failed to load resource'))).toEqual([]);
    await page.close();
  });

  test('fits a phone', async () => {
    const context = await browser.newContext({ viewport: { width: 360, height: 740 } });
    const page = await context.newPage();
    await page.goto(`${server.url}/docs`);
    await page.locator('#operation-embed').waitFor();
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(overflow).toBeLessThanOrEqual(0);
    await context.close();
  });
});
