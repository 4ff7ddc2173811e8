// A model is published while the page is open: the page says that its photos must be read again, and goes on when they are.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { EMBEDDED_MODEL } from '../../../../api/dev/bundle.ts';
import { toFileUri } from '../../../../api/registry/stores/file-uri.ts';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { BROWSER } from '../../../support/browser.ts';
import { openPages } from '../../../support/pages.ts';
import { digestOf, publish, readModel } from '../../../support/registry.ts';
import { secondModel } from '../../../support/second-model.ts';

const FLOWER = join(import.meta.dirname, '../../../../api/playground/samples/flower.jpg');

describe.skipIf(!BROWSER)('a model that is published while the page is open', { timeout: 180_000 }, () => {
  const registry = mkdtempSync(join(tmpdir(), 'published-'));
  const { visit, server } = openPages({ registry, pollMs: 200, onEvent: () => {} });
  let published = 0;

  /** Of a space of its own each time; resolves when the server answers with it. */
  async function publishAnother(): Promise<void> {
    published += 1;
    const version = `9.0.${published}`;
    const changes = { version, space_id: digestOf(version) };
    await publish(openStore(toFileUri(registry)), secondModel(await readModel(EMBEDDED_MODEL), changes));
    const current = async () => (await (await fetch(`${server().url}/v1/models`)).json()).data[0].version;
    await expect.poll(current, { timeout: 120_000 }).toBe(version);
  }

  const onThePage = (path: string, use: (page: Page) => Promise<void>) =>
    visit({ path }, async (page) => {
      await samplesAreRead(page);
      await use(page);
    });
  const samplesAreRead = (page: Page) => expect.poll(() => page.locator('#wall li:not(.waits)').count()).toBe(8);
  const query = (page: Page) => page.getByRole('searchbox', { name: 'What to look for' });
  const verdict = (page: Page) => expect.poll(() => page.locator('#verdict').textContent());
  const notice = (page: Page) => page.getByText('The server has another model now: 8 photos must be read again.');
  const readAgain = (page: Page) => page.getByRole('button', { name: 'Read them again' }).click();
  const isQuiet = async (page: Page) => {
    for (const id of ['#search-error', '#compare-error']) expect(await page.locator(id).isVisible()).toBe(false);
  };

  // First: a tab reads texts with the embedded model alone.
  test('has a tab that reads texts itself say that it cannot any more', async () => {
    await onThePage('/?local=1', async (page) => {
      await query(page).fill('a flower in a garden');
      await verdict(page).toBe('1 likely match');
      await publishAnother();
      await query(page).fill('a flower in the garden');
      await notice(page).waitFor();
      await page.locator('#search-error').getByText('Leave ?local=1 out of the address.').waitFor();
    });
  });

  test('is noticed by the search for words that were searched for before', async () => {
    await onThePage('/', async (page) => {
      await query(page).fill('a flower in a garden');
      await verdict(page).toBe('1 likely match');
      await publishAnother();
      await query(page).fill('');
      await query(page).fill('a flower in a garden');
      await notice(page).waitFor();
      await verdict(page).toBe('The photos must be read again.');
      await isQuiet(page);
      expect(await page.locator('#model').textContent()).toContain(`9.0.${published}`);
      await readAgain(page);
      await verdict(page).toMatch(/likely match/);
      expect((await page.locator('#wall .name').allTextContents())[0]).toBe('flower.jpg');
      await isQuiet(page);
    });
  });

  test('is noticed by the search for what is like a photo, of the wall and another', async () => {
    await onThePage('/', async (page) => {
      await publishAnother();
      await page.locator('#wall button').first().click();
      await page.locator('#viewer-similar').click();
      await notice(page).waitFor();
      await verdict(page).toBe('The photos must be read again.');
      await isQuiet(page);
      await readAgain(page);
      await samplesAreRead(page);
      await isQuiet(page);
      await publishAnother();
      await page.locator('#query-file').setInputFiles(FLOWER);
      await notice(page).waitFor();
      await verdict(page).toBe('The photos must be read again.');
      await isQuiet(page);
      await readAgain(page);
      await verdict(page).toMatch(/likely match/);
      expect((await page.locator('#wall .name').allTextContents())[0]).toBe('flower.jpg');
    });
  });

  test('is noticed by the comparison', async () => {
    const cells = (page: Page) => expect.poll(() => page.locator('#heat tbody td').count());
    await onThePage('/', async (page) => {
      await page.getByRole('link', { name: 'Compare' }).click();
      await cells(page).toBe(4 * 8);
      await publishAnother();
      await page.getByRole('button', { name: 'Leave astronaut.jpg out' }).click();
      await notice(page).waitFor();
      await cells(page).toBe(0);
      await isQuiet(page);
      await readAgain(page);
      await cells(page).toBe(4 * 7);
      await isQuiet(page);
    });
  });
});
