// The page with ?local=1 in a real browser: texts are read in the tab, with the server's vectors, and none is sent to /embed.
import type { Page, Request } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { EmbedResponse } from '../../../../contracts/src/api/embed.ts';
import { BROWSER } from '../../../support/browser.ts';
import { openPages, violations } from '../../../support/pages.ts';

const TEXTS = ['a flower in a garden', 'DON’T feed 27 cats, naïve 犬 👍🏽!', 'two dogs and a man . '.repeat(60)];

const samplesAreRead = (page: Page) => expect.poll(() => page.locator('#wall li:not(.waits)').count()).toBe(8);
const query = (page: Page) => page.getByRole('searchbox', { name: 'What to look for' });
const first = async (page: Page) => (await page.locator('#wall .name').allTextContents())[0];

describe.skipIf(!BROWSER)('the page with ?local=1', () => {
  const { visit, server } = openPages();
  /** What is sent to /embed as JSON holds texts; photos are forms. */
  const isText = (request: Request) =>
    new URL(request.url()).pathname === '/embed' && request.headers()['content-type'] === 'application/json';

  test('searches and compares with words that are never sent, and says so', async () => {
    const asked: string[] = [];
    const texts: string[] = [];
    const before = async (page: Page) =>
      void page.on('request', (request) => {
        asked.push(new URL(request.url()).pathname);
        if (isText(request)) texts.push(request.postData() ?? '');
      });
    await visit({ path: '/?local=1', before }, async (page) => {
      await samplesAreRead(page);
      await query(page).fill('a flower in a garden');
      await expect.poll(() => first(page)).toBe('flower.jpg');
      // The server judges the vector as it would its own.
      await expect.poll(() => page.locator('#verdict').textContent()).toMatch(/^1 likely match$/);
      await page.getByText(/^Texts are read in this tab \(\d+\.\d MiB of the model came here\)/).waitFor();
      await query(page).fill('ᚠᚢᚦ');
      await page.getByText('The model knows none of this').waitFor();
      expect(await violations(page)).toEqual([]);
      await page.getByRole('link', { name: 'Compare' }).click();
      await page.locator('#heat td').first().waitFor();
    });
    expect(texts).toEqual([]);
    expect(asked).toContain('/embed');
    const files = asked.filter((path) => path.startsWith('/artefacts/'));
    expect(files.length).toBeGreaterThan(3);
    // Each file of the model once.
    expect(new Set(files).size).toBe(files.length);
  });

  test('says in its own words that the model did not come, and reads with it when it does', async () => {
    await visit({ path: '/?local=1' }, async (page) => {
      await samplesAreRead(page);
      for (const files of ['**/local/embed.js', '**/artefacts/**']) {
        await page.route(files, (route) => route.abort());
        await query(page).fill(`a flower in a garden${files.length}`);
        await page.locator('#search-error').getByText('The model did not come into this tab.').waitFor();
        // It is not on its way any more.
        expect(await page.locator('#local').isVisible()).toBe(false);
        await page.unroute(files);
      }
      await query(page).fill('a flower in a garden');
      await expect.poll(() => first(page)).toBe('flower.jpg');
      expect(await page.locator('#search-error').isVisible()).toBe(false);
    });
  });

  test('has the vectors and receipts of the server', async () => {
    const types = ['float'];
    for (const model of ['edge-clip-small', 'edge-clip-small-tiny', 'edge-clip-small-static']) {
      const response = await fetch(`${server().url}/embed`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ input: TEXTS, model, types }),
      });
      const { data } = EmbedResponse.parse(await response.json());
      await visit({ path: '/?local=1' }, async (page) => {
        const found = await page.evaluate<{ embedding: number[]; truncation: object }[]>(
          // As text: the test's compiler would put its own import in.
          `import('/local/embed.js').then(({ openLocalModel }) => openLocalModel())
            .then((local) => local.embed(${JSON.stringify(TEXTS)}, ${JSON.stringify(model)}))
            .then((texts) => texts.map((text) => ({ ...text, embedding: [...text.embedding] })))`,
        );
        for (const [at, { embedding, truncation }] of data.entries()) {
          const vector = embedding as number[];
          const here = found[at]?.embedding ?? [];
          expect(vector.reduce((sum, value, i) => sum + value * (here[i] ?? 0), 0)).toBeGreaterThan(0.9999);
          expect(found[at]?.truncation).toEqual(truncation);
        }
      });
    }
  });

  test('refuses where the server answers with another model, and sends no text instead', async () => {
    const texts: string[] = [];
    const before = async (page: Page) => {
      page.on('request', (request) => isText(request) && texts.push(request.url()));
      await page.route('**/v1/models', async (route) => {
        const list = await (await route.fetch()).json();
        for (const entry of list.data) entry.version = '9.9.9';
        await route.fulfill({ json: list });
      });
    };
    await visit({ path: '/?local=1', before }, async (page) => {
      await query(page).fill('a flower in a garden');
      await page.getByText(/answers with edge-clip-small 9\.9\.9, and only edge-clip-small .* can be loaded/).waitFor();
    });
    expect(texts).toEqual([]);
  });
});
