// The page in a real browser, as people use it: samples, sentences, search, truncation, mistakes, keyboard, phone, dark.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BROWSER, launchBrowser } from '../../support/browser.ts';
import { makeKeyFile } from '../../support/key-file.ts';
import { type LocalServer, startLocalServer } from '../../support/local-server.ts';

const SAMPLES = join(import.meta.dirname, '../../../api/playground/samples');
const IMAGES = join(import.meta.dirname, '../../../contracts/vectors/preprocess/images');

describe.skipIf(!BROWSER)('the playground', () => {
  let server: LocalServer;
  let browser: Browser;
  beforeAll(async () => {
    [server, browser] = await Promise.all([startLocalServer(), launchBrowser()]);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** A fresh page that has its model; whatever the browser complains about fails the test. */
  async function visit(options: BrowserContextOptions, use: (page: Page) => Promise<void>): Promise<void> {
    const context = await browser.newContext(options);
    try {
      const page = await context.newPage();
      const complaints: string[] = [];
      page.on('pageerror', (error) => complaints.push(String(error)));
      page.on('console', (message) => {
        // A refused request is what some tests bring about; the page has to show it, which they look at.
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
          complaints.push(message.text());
      });
      await page.goto(server.url);
      await page.getByText(/512 dimensions, up to 512 tokens, sha256:/).waitFor();
      await use(page);
      expect(complaints).toEqual([]);
    } finally {
      await context.close();
    }
  }

  const useSamples = async (page: Page) => {
    await page.getByRole('button', { name: 'Use the sample photos' }).click();
    await page.locator('#heat tbody tr').first().waitFor();
  };
  const firstResult = (page: Page) => page.locator('#results img').first().getAttribute('alt');
  const overflow = (page: Page) =>
    page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

  test('asks for a key where the service wants one, and works with it', async () => {
    const keys = await makeKeyFile();
    const closed = await startLocalServer({ keys: keys.file, requireKeys: true });
    const context = await browser.newContext();
    try {
      const page = await context.newPage();
      await page.goto(closed.url);
      await page.getByRole('alert').getByText('An API key that is good for embed is needed').waitFor();
      await page.getByLabel('API key').fill(keys.secrets.revoked);
      await page.getByRole('button', { name: 'Use it in this tab' }).click();
      await page.getByRole('alert').getByText('was revoked').waitFor();
      await page.getByLabel('API key').fill(keys.secrets.good);
      await page.getByRole('button', { name: 'Use it in this tab' }).click();
      await page.getByText(/512 dimensions, up to 512 tokens, sha256:/).waitFor();
      await page.locator('#curl').getByText('authorization: Bearer $KEY').waitFor();
      expect(await page.getByLabel('API key').isVisible()).toBe(false);
      expect(await page.content()).not.toContain(keys.secrets.good);
    } finally {
      await context.close();
      await closed.stop();
      keys.remove();
    }
  });

  test('compares every sentence with every photo and finds photos by sentence', async () => {
    await visit({}, async (page) => {
      await useSamples(page);
      const texts = await page.locator('#texts input').count();
      const photos = await page.locator('#photos img').count();
      expect([texts, photos]).toEqual([4, 8]);
      const cells = await page.locator('#heat tbody td').allTextContents();
      expect(cells).toHaveLength(texts * photos);
      // Calibrated: every cell is a probability.
      for (const cell of cells) expect(Number(cell)).toSatisfy((value: number) => value >= 0 && value <= 1);
      for (const [query, photo] of [
        ['a flower in a garden', 'flower.jpg'],
        ['a rocket on its launch pad at night', 'rocket.jpg'],
        ['something to drink', 'coffee.jpg'],
      ] as const) {
        await page.getByLabel('What to look for').fill(query);
        const answered = page.waitForResponse(/\/similarity$/);
        await page.getByRole('button', { name: 'Search' }).click();
        await answered;
        await expect.poll(() => firstResult(page)).toBe(photo);
      }
      expect(await page.locator('#results li').count()).toBe(5);
      // What is not among the photos looks less sure than what is.
      const best = async (query: string) => {
        await page.getByLabel('What to look for').fill(query);
        const answered = page.waitForResponse(/\/similarity$/);
        await page.getByRole('button', { name: 'Search' }).click();
        const { results } = await (await answered).json();
        const shown = `${Math.round(100 * results[0][0].probability)} % · cosine`;
        await page.locator('#results figcaption').first().getByText(shown).waitFor();
        return results[0][0].probability;
      };
      expect(await best('a submarine')).toBeLessThan((await best('a flower in a garden')) / 2);
      expect(await page.locator('#timing').textContent()).toMatch(/\d+ tokens, \d+ ms/);
    });
  });

  test('what it shows as curl, typed into a shell beside the photos, gives the same scores', async () => {
    await visit({}, async (page) => {
      const shell = async () => {
        const command = (await page.locator('#curl').textContent()) ?? '';
        return JSON.parse(
          execFileSync('bash', ['-c', command], { cwd: SAMPLES, stdio: ['ignore', 'pipe', 'ignore'] }).toString(),
        );
      };
      const awkward = `a "quoted" $HOME, \`date\` and a back\\slash, isn't it`;
      await page.getByLabel('New sentence').fill(awkward);
      await page.getByRole('button', { name: 'Add' }).click();
      await page.getByLabel('New sentence').fill('@0@');
      await page.getByRole('button', { name: 'Add' }).click();
      expect((await shell()).data).toHaveLength(6);
      await useSamples(page);
      const { scores } = await shell();
      await page.getByLabel('Show').selectOption('cosine');
      const shown = async () => {
        const cells = await page.locator('#heat tbody td').allTextContents();
        return cells.map((cell) => Number(cell).toFixed(2));
      };
      await expect.poll(shown).toEqual(scores.flat().map((score: number) => score.toFixed(2)));
    });
  });

  test('says what was read of a long sentence and strikes out the rest', async () => {
    await visit({}, async (page) => {
      const sentence = page.getByRole('textbox', { name: 'Sentence 1' });
      await sentence.fill(`${'a brown dog runs over the grass '.repeat(120)}and this is the end`);
      await sentence.press('Enter');
      const receipt = page.locator('.receipt').first();
      await expect.poll(() => receipt.textContent()).toMatch(/^512 of \d+ tokens were read; cut: .*this is the end$/);
      expect(await receipt.locator('.cut').evaluate((node) => getComputedStyle(node).textDecorationLine)).toBe(
        'line-through',
      );
    });
  });

  test('stays a page with a sentence of 20,000 characters', async () => {
    await visit({}, async (page) => {
      await page.getByLabel('Choose photos').setInputFiles(join(IMAGES, 'wide.png'));
      await page.locator('#heat tbody td').first().waitFor();
      const height = () => page.evaluate(() => document.body.scrollHeight);
      const before = await height();
      const sentence = page.getByRole('textbox', { name: 'Sentence 1' });
      await sentence.fill('a brown dog runs over the grass '.repeat(625));
      await sentence.press('Enter');
      const receipt = page.locator('.receipt').first();
      await expect.poll(() => receipt.textContent()).toContain('cut: ');
      await expect.poll(() => page.locator('#heat tbody th').first().textContent()).toContain('brown dog');
      expect(await height()).toBeLessThan(before + 500);
    });
  });

  test('shows what the server says of a file that it cannot read, and goes on', async () => {
    await visit({}, async (page) => {
      const broken = { name: 'broken.png', mimeType: 'image/png', buffer: Buffer.from('this is no picture') };
      await page.getByLabel('Choose photos').setInputFiles(broken);
      const alert = page.getByRole('alert');
      await alert.waitFor();
      expect(await alert.textContent()).toMatch(/image/i);
      expect(await alert.textContent()).toContain('broken.png');
      expect(await page.locator('#photos li').count()).toBe(0);
      await page.getByLabel('Choose photos').setInputFiles(join(IMAGES, 'wide.png'));
      await page.locator('#photos img[alt="wide.png"]').waitFor();
      expect(await alert.isVisible()).toBe(false);
      const both = [broken, { ...broken, name: 'other.png', buffer: readFileSync(join(IMAGES, 'wide.png')) }];
      await page.getByLabel('Choose photos').setInputFiles(both);
      await page.locator('#photos img[alt="other.png"]').waitFor();
      await alert.waitFor();
    });
  });

  test('works with the keyboard alone', async () => {
    await visit({}, async (page) => {
      const press = async (target: string) => {
        for (let presses = 0; presses < 60; presses += 1) {
          await page.keyboard.press('Tab');
          const name = await page.evaluate(() => {
            const node = document.activeElement;
            return node?.getAttribute('aria-label') ?? node?.id ?? '';
          });
          if (name === target) return;
        }
        throw new Error(`Tab never comes to ${target}`);
      };
      await press('new-text');
      await page.keyboard.type('a temple by a lake');
      await page.keyboard.press('Enter');
      await expect.poll(() => page.locator('#texts input').count()).toBe(5);
      await press('samples');
      await page.keyboard.press('Enter');
      await page.locator('#heat tbody tr').nth(4).waitFor();
      await press('query');
      await page.keyboard.type('a flower');
      await page.keyboard.press('Enter');
      await page.locator('#results img').first().waitFor();
      await press('Heat map');
      await press('copy');
    });
  });

  test('fits a phone: nothing but the heat map scrolls sideways', async () => {
    await visit({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true }, async (page) => {
      expect(await overflow(page)).toBeLessThanOrEqual(0);
      await useSamples(page);
      expect(await overflow(page)).toBeLessThanOrEqual(0);
    });
  });

  test.each(['light', 'dark'] as const)('every text has a contrast of 4.5 in %s', async (colorScheme) => {
    await visit({ colorScheme }, async (page) => {
      await useSamples(page);
      const worst = await page.evaluate(() => {
        const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        if (!context) throw new Error('no canvas');
        const over = (...layers: string[]): number[] => {
          context.clearRect(0, 0, 1, 1);
          for (const layer of layers) {
            context.fillStyle = layer;
            context.fillRect(0, 0, 1, 1);
          }
          return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
        };
        // WCAG 2.2: relative luminance and contrast ratio.
        const luminance = (rgb: number[]) => {
          const [r = 0, g = 0, b = 0] = rgb.map((value) => {
            const share = value / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
          });
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const grounds = (node: Element | null): string[] =>
          node ? [...grounds(node.parentElement), getComputedStyle(node).backgroundColor] : [];
        let found = { contrast: 21, text: '' };
        for (const node of document.querySelectorAll('h1,h2,p,label,button,input,select,th,td,pre,figcaption,span')) {
          const text = node.textContent?.trim() || (node instanceof HTMLInputElement ? node.value : '');
          if (!text || !node.checkVisibility() || node.matches('.hidden,input[type=file]')) continue;
          const under = grounds(node);
          const [one, other] = [over(...under), over(...under, getComputedStyle(node).color)].map(luminance);
          const [low = 0, high = 0] = [one ?? 0, other ?? 0].sort((a, b) => a - b);
          const contrast = (high + 0.05) / (low + 0.05);
          if (contrast < found.contrast) found = { contrast, text: text.slice(0, 60) };
        }
        return found;
      });
      expect(worst.contrast, worst.text).toBeGreaterThanOrEqual(4.5);
    });
  });
});
