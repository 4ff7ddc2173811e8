// The photo search in a real browser, as people use it: samples, words, a photo as question, verdicts, keyboard, phone.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { BROWSER } from '../../support/browser.ts';
import { makeKeyFile } from '../../support/key-file.ts';
import { startLocalServer } from '../../support/local-server.ts';
import { openPages, overflow, violations } from '../../support/pages.ts';

const SAMPLES = join(import.meta.dirname, '../../../api/playground/samples');
const sample = (name: string) => ({
  name: `${name}.jpg`,
  mimeType: 'image/jpeg',
  buffer: readFileSync(join(SAMPLES, `${name}.jpg`)),
});

/** The photos that are there without a click have their vectors. */
const samplesAreRead = (page: Page) => expect.poll(() => page.locator('#wall li:not(.waits)').count()).toBe(8);
const query = (page: Page) => page.getByRole('searchbox', { name: 'What to look for' });
const names = (page: Page) => page.locator('#wall .name').allTextContents();
const first = async (page: Page) => (await names(page))[0];
const verdict = (page: Page) => page.locator('#verdict');
const focused = (page: Page) =>
  page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent?.trim() || '');

describe.skipIf(!BROWSER)('the photo search', () => {
  const { visit, server } = openPages();

  test('has the sample photos without a click and answers while somebody types', async () => {
    await visit({}, async (page) => {
      await samplesAreRead(page);
      for (const [words, photo] of [
        ['a flower in a garden', 'flower.jpg'],
        ['a rocket on its launch pad at night', 'rocket.jpg'],
        ['something to drink', 'coffee.jpg'],
      ] as const) {
        await query(page).fill('');
        await query(page).pressSequentially(words);
        await expect.poll(() => first(page)).toBe(photo);
      }
      expect((await names(page)).sort()).toEqual(
        ['astronaut', 'cat', 'coffee', 'flower', 'galaxies', 'raccoon', 'rocket', 'temple'].map(
          (name) => `${name}.jpg`,
        ),
      );
      // Nothing is asked for, everything is there again.
      await query(page).fill('');
      await expect.poll(() => first(page)).toBe('astronaut.jpg');
      expect(await verdict(page).isVisible()).toBe(false);
    });
  });

  test('says that nothing matches where nothing does, and which photos probably do', async () => {
    await visit({}, async (page) => {
      await samplesAreRead(page);
      await query(page).fill('a flower in a garden');
      await expect.poll(() => verdict(page).textContent()).toMatch(/^1 likely match$/);
      await page.getByRole('button', { name: /^flower\.jpg ?likely$/ }).waitFor();
      await query(page).fill('a submarine');
      await expect.poll(() => verdict(page).textContent()).toMatch(/^Nothing here seems to match/);
      expect(await page.locator('#wall .mark').allTextContents()).not.toContain('likely');
      // Words that nobody knows are no question.
      await query(page).fill('ᚠᚢᚦ');
      await page.getByText('The model knows none of this').waitFor();
      await expect.poll(() => verdict(page).isVisible()).toBe(false);
      expect(await page.locator('#wall .mark').allTextContents()).not.toContain('perhaps');
    });
  });

  test('takes a photo as the question: chosen, dropped on the box, or one of its own', async () => {
    await visit({}, async (page) => {
      await samplesAreRead(page);
      await page.locator('#query-file').setInputFiles(sample('temple'));
      await page.getByText('Photos like temple.jpg').waitFor();
      await expect.poll(() => first(page)).toBe('temple.jpg');
      expect(await page.locator('#count').textContent()).toBe('8 photos');
      await page.getByRole('button', { name: 'Search with words again' }).click();
      expect(await focused(page)).toBe('query');

      const file = await page.evaluateHandle(async () => {
        const transfer = new DataTransfer();
        const blob = await (await fetch('samples/raccoon.jpg')).blob();
        transfer.items.add(new File([blob], 'dropped.jpg', { type: 'image/jpeg' }));
        return transfer;
      });
      await page.locator('#query').dispatchEvent('drop', { dataTransfer: file });
      await page.getByText('Photos like dropped.jpg').waitFor();
      await expect.poll(() => first(page)).toBe('raccoon.jpg');

      await page.locator('#wall button').first().click();
      await page.getByRole('button', { name: 'Find similar' }).click();
      await page.getByText('Photos like raccoon.jpg').waitFor();
      // It does not find itself.
      await expect.poll(() => names(page)).toHaveLength(7);
      expect(await names(page)).not.toContain('raccoon.jpg');
    });
  });

  test('follows the model, its length and what is removed; the focus stays where it was', async () => {
    await visit({}, async (page) => {
      await samplesAreRead(page);
      const offered = await page.getByLabel('Model', { exact: true }).locator('option').allTextContents();
      const { data } = await (await fetch(`${server().url}/v1/models`)).json();
      expect(offered).toEqual(data.map(({ id }: { id: string }) => id));
      await query(page).fill('something to drink');
      await expect.poll(() => first(page)).toBe('coffee.jpg');
      const viewer = page.locator('#viewer');
      const cosine = async () => {
        await page.locator('#wall button').first().click();
        // Escape before the viewer is open closes nothing, and an open one covers what is chosen next.
        await viewer.waitFor();
        const text = await page.locator('#viewer-about').textContent();
        await page.keyboard.press('Escape');
        await viewer.waitFor({ state: 'hidden' });
        return /cosine (-?\d\.\d+)/.exec(text ?? '')?.[1];
      };
      const whole = await cosine();
      await page.getByLabel('Dimensions').selectOption('64');
      await page.getByText('does not say at 64 dimensions').waitFor();
      const cut = await cosine();
      expect(cut).not.toBe(whole);
      const body = {
        model: data[0].id,
        a: 'something to drink',
        b: { image: sample('coffee').buffer.toString('base64') },
      };
      const scores = await Promise.all(
        [data[0].embed_dim, 64].map(async (dimensions) => {
          const answer = await fetch(`${server().url}/similarity`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ ...body, dimensions }),
          });
          return (await answer.json()).scores[0][0].toFixed(3);
        }),
      );
      expect([whole, cut]).toEqual(scores);

      // The photo of the next place has the focus of the one that was removed.
      await page.locator('#wall button').first().focus();
      await page.keyboard.press('Delete');
      await expect.poll(() => names(page)).toHaveLength(7);
      expect(await names(page)).not.toContain('coffee.jpg');
      expect(await focused(page)).toContain(await first(page));
      await page.keyboard.press('Enter');
      await page.getByRole('button', { name: 'Remove', exact: true }).click();
      await expect.poll(() => names(page)).toHaveLength(6);
      expect(await focused(page)).toBe('viewer-remove');
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'Remove all' }).click();
      await expect.poll(() => names(page)).toEqual([]);
      expect(await focused(page)).toBe('add');
      await page.getByText('There are no photos to search yet').waitFor();
    });
  });

  test('works with the keyboard alone, photos large and small', async () => {
    await visit({}, async (page) => {
      await samplesAreRead(page);
      const press = async (target: string) => {
        for (let presses = 0; presses < 40; presses += 1) {
          await page.keyboard.press('Tab');
          if ((await focused(page)) === target) return;
        }
        throw new Error(`Tab never comes to ${target}`);
      };
      await press('query');
      await page.keyboard.type('a flower');
      await page.keyboard.press('Enter');
      await expect.poll(() => first(page)).toBe('flower.jpg');
      const [, second] = await names(page);
      await page.locator('#verdict').waitFor();
      await press('remove-all');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      const title = page.getByRole('dialog').getByRole('heading');
      await expect.poll(() => title.textContent()).toBe('flower.jpg');
      await page.keyboard.press('ArrowRight');
      await expect.poll(() => title.textContent()).toBe(second);
      await page.keyboard.press('Escape');
      await expect.poll(() => focused(page)).toContain(second);
    });
  });

  test('says in its own words that the server has gone, beside the box, and finds again when it is back', async () => {
    await visit({}, async (page) => {
      await samplesAreRead(page);
      await page.route('**/embed', (route) => route.abort());
      await query(page).fill('a flower');
      await page.locator('#search-error').getByText('The server does not answer').waitFor();
      expect(await page.locator('#search').getAttribute('aria-busy')).toBe('false');
      await page.unroute('**/embed');
      await query(page).press('Enter');
      await expect.poll(() => first(page)).toBe('flower.jpg');
      expect(await page.locator('#search-error').isVisible()).toBe(false);
    });
  });

  test('asks for a key where the service wants one, and works with it', async () => {
    const keys = await makeKeyFile();
    const closed = await startLocalServer({ keys: keys.file, requireKeys: true });
    try {
      await visit({ url: closed.url }, async (page) => {
        // The page asks several things at once: all answers to the revoked key but the first come after the good one is
        // there.
        let asked = 0;
        let late = 0;
        const isGood = Promise.withResolvers<void>();
        await page.route('**/*', async (route) => {
          const { authorization } = route.request().headers();
          if (authorization === `Bearer ${keys.secrets.good}`) isGood.resolve();
          if (authorization !== `Bearer ${keys.secrets.revoked}` || asked++ === 0) return route.continue();
          await isGood.promise;
          await route.continue();
          await (await route.request().response())?.finished();
          late += 1;
        });
        await page.getByRole('alert').getByText('An API key that is good for embed is needed').waitFor();
        // As a list of keys abbreviates it: no header can hold it.
        await page.getByLabel('API key').fill(`${keys.secrets.good.slice(0, 8)}…`);
        await page.getByRole('button', { name: 'Use it in this tab' }).click();
        expect(await page.locator('#key-text:invalid').getAttribute('title')).toMatch(/copy all of it/);
        await page.getByLabel('API key').fill(keys.secrets.revoked);
        await page.getByRole('button', { name: 'Use it in this tab' }).click();
        await page.getByRole('alert').getByText('was revoked').waitFor();
        await page.getByLabel('API key').fill(` ${keys.secrets.good} `);
        await page.getByRole('button', { name: 'Use it in this tab' }).click();
        await samplesAreRead(page);
        await expect.poll(() => late).toBe(asked - 1);
        expect(late).toBeGreaterThan(0);
        expect(await page.getByLabel('API key').isVisible()).toBe(false);
        await page.getByRole('link', { name: 'Compare' }).click();
        await page.locator('#curl').getByText('authorization: Bearer $KEY').waitFor();
        expect(await page.content()).not.toContain(keys.secrets.good);
      });
    } finally {
      await closed.stop();
      keys.remove();
    }
  });

  test('works where the browser stores nothing for it', async () => {
    const keys = await makeKeyFile();
    const closed = await startLocalServer({ keys: keys.file, requireKeys: true });
    // As Chromium does where cookies are blocked.
    const before = async (page: Page) => {
      await page.addInitScript(() =>
        Object.defineProperty(window, 'sessionStorage', {
          get() {
            throw new DOMException('Access is denied for this document.', 'SecurityError');
          },
        }),
      );
    };
    try {
      await visit({ url: closed.url, before }, async (page) => {
        await page.getByLabel('API key').fill(keys.secrets.good);
        await page.getByRole('button', { name: 'Use it in this tab' }).click();
        await samplesAreRead(page);
        expect(await page.locator('#trouble').isVisible()).toBe(false);
      });
    } finally {
      await closed.stop();
      keys.remove();
    }
  });

  test('goes on with what the server has when it has another model than when the page was opened', async () => {
    let isBefore = true;
    const before = async (page: Page) => {
      await page.route('**/v1/models', async (route) => {
        const answer = await route.fetch();
        const { data } = await answer.json();
        const [model] = data;
        const json = isBefore ? { data: [{ ...model, id: 'of-before', dimensions: [model.embed_dim] }] } : { data };
        await route.fulfill({ response: answer, json });
      });
    };
    await visit({ before }, async (page) => {
      await samplesAreRead(page);
      expect(await page.getByLabel('Model', { exact: true }).inputValue()).toBe('of-before');
      isBefore = false;
      await query(page).fill('a flower in a garden');
      await expect.poll(() => verdict(page).textContent()).toBe('1 likely match');
      expect(await first(page)).toBe('flower.jpg');
      expect(await page.getByLabel('Model', { exact: true }).inputValue()).not.toBe('of-before');
      expect(await page.getByLabel('Dimensions').locator('option').count()).toBeGreaterThan(1);
    });
  });

  test('asks once, not without end, where the photos are of another model, and finds them when they are read again', async () => {
    let isAfter = false;
    let requests = 0;
    const before = async (page: Page) => {
      await page.route('**/embed', async (route) => {
        requests += 1;
        const answer = await route.fetch();
        const json = await answer.json();
        await route.fulfill({ response: answer, json: isAfter ? { ...json, space_id: 'sha256:after' } : json });
      });
    };
    await visit({ before }, async (page) => {
      await samplesAreRead(page);
      // The service judges vectors of its own spaces only: here the order is what counts.
      await page.getByLabel('Dimensions').selectOption('64');
      isAfter = true;
      await query(page).fill('a flower in a garden');
      await page.getByText('The server has another model now: 8 photos must be read again.').waitFor();
      await expect.poll(() => page.locator('#search').getAttribute('aria-busy')).toBe('false');
      const asked = requests;
      await page.waitForTimeout(1500);
      expect(requests).toBe(asked);
      await page.getByRole('button', { name: 'Read them again' }).click();
      await samplesAreRead(page);
      await expect.poll(() => first(page)).toBe('flower.jpg');
      expect(await page.locator('#search-error').isVisible()).toBe(false);
    });
  });

  test('writes from the right what is read from there', async () => {
    await visit({}, async (page) => {
      for (const label of ['What to look for', 'New sentence', 'Sentence 1']) {
        if (label !== 'What to look for') await page.goto(`${server().url}/#compare`);
        const field = page.getByLabel(label, { exact: true });
        const direction = () => field.evaluate((input) => getComputedStyle(input).direction);
        await field.fill('قطة');
        expect(await direction()).toBe('rtl');
        await field.fill('a cat');
        expect(await direction()).toBe('ltr');
      }
    });
  });

  test('pastes text as text where a picture of it comes along, and a picture alone as a photo', async () => {
    await visit({}, async (page) => {
      await samplesAreRead(page);
      const paste = (text: string) =>
        query(page).evaluate(async (field, words) => {
          const clipboardData = new DataTransfer();
          if (words) clipboardData.setData('text/plain', words);
          const picture = await (await fetch('samples/raccoon.jpg')).blob();
          clipboardData.items.add(new File([picture], 'image.png', { type: 'image/png' }));
          const event = new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true });
          field.dispatchEvent(event);
          return event.defaultPrevented;
        }, text);
      // A cell of a spreadsheet: the browser itself puts the text where it belongs.
      expect(await paste('red shoes')).toBe(false);
      expect(await page.locator('#asked').isVisible()).toBe(false);
      // A file manager's name of the file is none.
      expect(await paste('image.png')).toBe(true);
      await page.getByText('Photos like image.png').waitFor();
    });
  });

  test.each([
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['forced colours', { forcedColors: 'active' }],
    ['a narrow phone', { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true }],
  ] as const)(
    'axe finds nothing wrong with any view in %s, and nothing is wider than the window',
    async (_, options) => {
      await visit({ ...options }, async (page) => {
        await samplesAreRead(page);
        const check = async () => {
          expect(await violations(page)).toEqual([]);
          expect(await overflow(page)).toBeLessThanOrEqual(0);
        };
        await query(page).fill('something to drink');
        await verdict(page).waitFor();
        await check();
        await page.locator('#wall button').first().click();
        await check();
        await page.keyboard.press('Escape');
        await page.getByRole('link', { name: 'Compare' }).click();
        await page.locator('#heat tbody tr').first().waitFor();
        await check();
      });
    },
  );

  test('says without JavaScript what it needs', async () => {
    await visit({ javaScriptEnabled: false }, async (page) => {
      const said = page.locator('noscript p');
      await said.waitFor();
      expect(await said.textContent()).toMatch(/^This page searches photos with JavaScript, which is off here\./);
      expect(await page.locator('main section').first().isVisible()).toBe(false);
    });
  });
});
