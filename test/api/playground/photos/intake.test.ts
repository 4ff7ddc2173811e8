// Photos on their way into the page, in a real browser: thousands, twice, broken, refused, stopped, and a server that goes.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page, Route } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { BROWSER } from '../../../support/browser.ts';
import { openPages } from '../../../support/pages.ts';

const IMAGES = join(import.meta.dirname, '../../../../contracts/vectors/preprocess/images');
const wide = { name: 'wide.png', mimeType: 'image/png', buffer: readFileSync(join(IMAGES, 'wide.png')) };
const file = (name: string, content: string | Buffer, mimeType = 'image/jpeg') => ({
  name,
  mimeType,
  buffer: Buffer.from(content),
});

const count = (page: Page) => page.locator('#count').textContent();
const failures = (page: Page) => page.getByRole('region', { name: 'Files that were not read' });
/** Files that failed, by name. */
const failed = (page: Page) => failures(page).locator('li').allTextContents();
const isIdle = (page: Page) =>
  expect.poll(() => page.locator('#progress').isVisible(), { timeout: 50_000 }).toBe(false);

/** No samples, so that what is counted is one's own. */
async function withoutSamples(page: Page): Promise<void> {
  await page.route('**/samples/*', (route) => route.abort());
}
const images = (route: Route) => (route.request().postData() ?? '').split('name="image"').length - 1;

/** Puts small pictures, each of its own colours, into the page's field for photos. */
async function addDrawn(page: Page, from: number, to: number): Promise<void> {
  await page.evaluate(
    async ([start, end]) => {
      const transfer = new DataTransfer();
      const canvas = document.createElement('canvas');
      canvas.width = 32;
      canvas.height = 24;
      const context = canvas.getContext('2d');
      for (let i = start; i < end; i += 1) {
        if (context) context.fillStyle = `hsl(${(i * 47) % 360} 80% 50%)`;
        context?.fillRect(0, 0, 32, 24);
        if (context) context.fillStyle = `rgb(${i % 256} ${i >> 8} 99)`;
        context?.fillRect(i % 24, 4, 8, 16);
        const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done));
        transfer.items.add(new File(blob ? [blob] : [], `drawn-${i}.png`, { type: 'image/png' }));
      }
      const input = document.querySelector<HTMLInputElement>('#files');
      if (!input) throw new Error('the page has no field for photos');
      input.files = transfer.files;
      input.dispatchEvent(new Event('change'));
    },
    [from, to] as const,
  );
}

describe.skipIf(!BROWSER)('photos on their way in', () => {
  const { visit } = openPages();

  test('are thousands: read within the limits, searched without an error, shown a page at a time', async () => {
    await visit({ before: withoutSamples }, async (page) => {
      await addDrawn(page, 0, 64);
      await expect.poll(() => page.locator('#progress-text').textContent()).toMatch(/\d+ of 64 photos/);
      await isIdle(page);
      expect(await count(page)).toBe('64 photos');
      // Further ones with vectors of their own, through the page's store, as if they had been read.
      // As a string: what runs in the page must not be rewritten on its way there.
      await page.evaluate(`import('/photos/store.js').then(({ store }) => {
        const [{ file, vector }] = store.all();
        for (let i = 0; i < 4936; i += 1) {
          const made = { name: 'made-' + i, file, key: 'made-' + i, shown: file, width: 4, height: 3, isSample: false };
          const other = vector.map((value, at) => value + Math.sin(i * 7919 + at) / 8);
          store.setVector(store.add(made), other, store.space());
        }
      })`);
      await expect.poll(() => count(page)).toBe('5,000 photos');
      await page.getByRole('searchbox').fill('a blue square');
      await page.locator('#verdict').waitFor();
      expect(await page.locator('#search-error').isVisible()).toBe(false);
      expect(await page.locator('#wall li').count()).toBe(48);
      await page.getByRole('button', { name: 'Show 48 more of 4,952 photos' }).click();
      await expect.poll(() => page.locator('#wall li').count()).toBe(96);
      // The first of those that came.
      const position = () =>
        page.evaluate(() =>
          [...document.querySelectorAll('#wall button')].indexOf(document.activeElement ?? document.body),
        );
      expect(await position()).toBe(48);
      await page.getByRole('button', { name: 'Remove all' }).click();
      await expect.poll(() => count(page)).toBe('No photos yet');
    });
  });

  test('are sent in requests of no more than the service takes, and wait as long as it says', async () => {
    const sizes: number[] = [];
    const before = async (page: Page) => {
      await withoutSamples(page);
      await page.route('**/v1/limits', async (route) => {
        const answer = await route.fetch();
        await route.fulfill({ response: answer, json: { ...(await answer.json()), images: 3, items: 2 } });
      });
      await page.route('**/embed', async (route) => {
        sizes.push(images(route));
        if (sizes.length > 1) return route.continue();
        const problem = { code: 'rate_limited', detail: 'Too many.' };
        return route.fulfill({ status: 429, headers: { 'retry-after': '2' }, json: problem });
      });
    };
    await visit({ before }, async (page) => {
      await addDrawn(page, 0, 9);
      await page.getByText('The server is busy: going on in 2 s.').waitFor();
      await isIdle(page);
      expect(await count(page)).toBe('9 photos');
      expect(Math.max(...sizes)).toBe(2);
      expect(sizes.reduce((sum, size) => sum + size)).toBe(9 + (sizes[0] ?? 0));
      expect(await failures(page).isVisible()).toBe(false);
    });
  });

  test('lose no name when the server goes: all that are left are listed, and one click reads them', async () => {
    await visit({ before: withoutSamples }, async (page) => {
      let requests = 0;
      const answered = page.waitForResponse('**/embed');
      await page.route('**/embed', async (route) => {
        requests += 1;
        if (requests === 1) return route.continue();
        await answered;
        return route.abort();
      });
      await addDrawn(page, 0, 60);
      await failures(page).getByText('The server stopped answering.').waitFor();
      await isIdle(page);
      const read = Number.parseInt((await count(page)) ?? '', 10);
      const lost = await failed(page);
      expect(read).toBeGreaterThan(0);
      expect(new Set(lost).size).toBe(60 - read);
      await page.unroute('**/embed');
      await failures(page).getByRole('button', { name: 'Try again' }).dblclick();
      await expect.poll(() => count(page)).toBe('60 photos');
      await isIdle(page);
      expect(await failures(page).isVisible()).toBe(false);
    });
  });

  test('can be stopped, and go on where they were', async () => {
    await visit({ before: withoutSamples }, async (page) => {
      let isHeld = true;
      await page.route('**/embed', async (route) => {
        while (isHeld) await new Promise((done) => setTimeout(done, 20));
        await route.continue().catch(() => undefined);
      });
      await addDrawn(page, 0, 40);
      await page.getByRole('button', { name: 'Stop' }).click();
      await failures(page).getByText('Not read yet: you stopped.').waitFor();
      expect((await failed(page)).length).toBe(40);
      expect(await count(page)).toBe('No photos yet');
      isHeld = false;
      await failures(page).getByRole('button', { name: 'Try again' }).click();
      await expect.poll(() => count(page)).toBe('40 photos');
    });
  });

  test('that cannot be read are named with what to do, and the others are taken', async () => {
    await visit({ before: withoutSamples }, async (page) => {
      const heic = Buffer.concat([Buffer.from([0, 0, 0, 24]), Buffer.from('ftypheic\0\0\0\0mif1heic')]);
      const jpeg = readFileSync(join(IMAGES, '../../../../api/playground/samples/cat.jpg'));
      await page.locator('#files').setInputFiles([
        file('phone.heic', heic, 'image/heic'),
        file('empty.jpg', ''),
        file('words.png', 'this is no picture', 'image/png'),
        // So little of a JPEG that nobody sees anything in it.
        file('damaged.jpg', jpeg.subarray(0, 100)),
        wide,
      ]);
      await page.getByRole('button', { name: 'wide.png' }).waitFor();
      await isIdle(page);
      const reasons = failures(page).locator('div', { has: page.locator('details') });
      const said = Object.fromEntries(
        await Promise.all(
          (await reasons.all()).map(async (group) => [
            (await group.locator('li').allTextContents()).join(),
            await group.locator('p').textContent(),
          ]),
        ),
      );
      expect(said).toEqual({
        'phone.heic': expect.stringMatching(/HEIC.*JPEG/),
        'empty.jpg': expect.stringMatching(/empty/),
        'words.png': expect.stringMatching(/not a picture.*JPEG, PNG/),
        'damaged.jpg': expect.stringMatching(/damaged/),
      });
      expect(await count(page)).toBe('1 photo');
      // None of it would go better.
      expect(await failures(page).getByRole('button', { name: 'Try again' }).count()).toBe(0);
      await failures(page).getByRole('button', { name: 'Forget them' }).click();
      await expect.poll(() => failures(page).isVisible()).toBe(false);
    });
  });

  test('are counted by themselves, whatever failed before', async () => {
    await visit({ before: withoutSamples }, async (page) => {
      await page.locator('#files').setInputFiles([file('1.jpg', 'one'), file('2.jpg', 'two'), file('3.jpg', 'three')]);
      await failures(page).getByText('3 files not read').waitFor();
      await addDrawn(page, 0, 5);
      await page.getByText('5 photos read.').waitFor();
      await failures(page).getByText('3 files not read').waitFor();
    });
  });

  test('do not come after all were removed', async () => {
    await visit({ before: withoutSamples }, async (page) => {
      let requests = 0;
      await page.route('**/embed', async (route) => {
        requests += 1;
        if (requests > 1) await new Promise((done) => setTimeout(done, 300));
        await route.continue().catch(() => undefined);
      });
      await addDrawn(page, 0, 80);
      await page.locator('#wall li:not(.waits)').first().waitFor();
      await page.getByRole('button', { name: 'Remove all' }).click();
      await isIdle(page);
      expect(await count(page)).toBe('No photos yet');
      // None that was not read is lost, either.
      await failures(page).getByText('Not read yet: you stopped.').waitFor();
    });
  });

  /** Photos without end, each in a request of its own, over a network that is slower than they come. */
  const slowly = async (page: Page) => {
    await page.route('**/v1/limits', async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ response: answer, json: { ...(await answer.json()), images: 1 } });
    });
    await page.route('**/similarity', async (route) => {
      await new Promise((done) => setTimeout(done, 2000));
      await route.continue().catch(() => undefined);
    });
  };
  const isRunning = async (page: Page) => (await page.locator('#progress').getAttribute('hidden')) === null;
  const samplesAreRead = (page: Page) => expect.poll(() => page.locator('#wall li:not(.waits)').count()).toBe(8);

  test('keep nobody from an answer while they come: to words, and to a photo', async () => {
    await visit({ before: slowly }, async (page) => {
      await samplesAreRead(page);
      await addDrawn(page, 0, 400);
      await page.getByRole('searchbox').fill('a flower in a garden');
      await page.locator('#verdict').waitFor();
      expect(await isRunning(page)).toBe(true);
      await page.locator('#query-file').setInputFiles(wide);
      await page.getByText('Photos like wide.png').waitFor();
      expect(await isRunning(page)).toBe(true);
      await page.getByRole('button', { name: 'Stop' }).click();
    });
  });

  test('keep nobody from a comparison while they come', async () => {
    await visit({ before: slowly }, async (page) => {
      await samplesAreRead(page);
      await addDrawn(page, 0, 400);
      await page.getByRole('link', { name: 'Compare' }).click();
      await page.locator('#heat td').getByText(/\d/).first().waitFor();
      expect(await isRunning(page)).toBe(true);
      await page.getByRole('link', { name: 'Search' }).click();
      await page.getByRole('button', { name: 'Stop' }).click();
    });
  });

  test('that a folder does not hold are missed in words', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'no-photos-'));
    writeFileSync(join(folder, 'notes.txt'), 'nothing to see');
    try {
      await visit({ before: withoutSamples }, async (page) => {
        await page.locator('#folder').setInputFiles(folder);
        await page.getByText('No photos were found in it.').waitFor();
        await page.locator('#files').setInputFiles(wide);
        await page.getByRole('button', { name: 'wide.png' }).waitFor();
        expect(await page.getByText('No photos were found in it.').isVisible()).toBe(false);
        // One that may be opened, and one that may not, whatever it is.
        await page.locator('body').evaluate((body) => {
          const entry = (name: string, take: (done: (file: File) => void, fail: (error: Error) => void) => void) => ({
            fullPath: `/shared/${name}`,
            isDirectory: false,
            file: take,
          });
          const members = [
            entry('closed.jpg', (_, fail) => fail(new DOMException('denied', 'NotReadableError'))),
            entry('broken.jpg', (done) => done(new File(['no picture'], 'broken.jpg', { type: 'image/jpeg' }))),
          ];
          const readEntries = (done: (some: object[]) => void) => done(members.splice(0));
          const shared = { isDirectory: true, createReader: () => ({ readEntries }) };
          const event = new Event('drop', { bubbles: true, cancelable: true });
          const items = [{ webkitGetAsEntry: () => shared }];
          body.dispatchEvent(Object.assign(event, { dataTransfer: { types: ['Files'], files: [], items } }));
        });
        await page.getByText('1 file or folder in it cannot be opened.').waitFor();
        await expect.poll(() => failed(page)).toEqual(['shared/broken.jpg']);
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('are one photo each, however often somebody adds them', async () => {
    await visit({}, async (page) => {
      for (const name of ['wide.png', 'again.png', 'wide.png']) {
        await page.locator('#files').setInputFiles({ ...wide, name });
      }
      await expect.poll(() => count(page)).toBe('9 photos');
      await page.getByText('here already').waitFor();
      await page.getByRole('button', { name: 'Remove the samples' }).click();
      await expect.poll(() => count(page)).toBe('1 photo');
      await page.getByRole('button', { name: 'Remove all' }).click();
      await page.getByRole('button', { name: 'Sample photos' }).dblclick();
      await expect.poll(() => count(page)).toBe('8 photos');
      await isIdle(page);
      expect(await count(page)).toBe('8 photos');
    });
  });

  test('of a phone are made small before they are sent', async () => {
    const sent: number[] = [];
    const before = async (page: Page) => {
      await withoutSamples(page);
      await page.route('**/embed', async (route) => {
        sent.push(route.request().postDataBuffer()?.length ?? 0);
        await route.continue();
      });
    };
    await visit({ before }, async (page) => {
      await page.evaluate(async () => {
        const canvas = document.createElement('canvas');
        canvas.width = 4032;
        canvas.height = 3024;
        const context = canvas.getContext('2d');
        for (let i = 0; i < 400; i += 1) {
          if (context) context.fillStyle = `hsl(${i * 31} 70% ${30 + (i % 40)}%)`;
          context?.fillRect((i * 379) % 4032, (i * 211) % 3024, 600, 400);
        }
        const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/jpeg', 0.95));
        const transfer = new DataTransfer();
        transfer.items.add(new File(blob ? [blob] : [], 'phone.jpg', { type: 'image/jpeg' }));
        const input = document.querySelector<HTMLInputElement>('#files');
        if (input) input.files = transfer.files;
        input?.dispatchEvent(new Event('change'));
      });
      await page.getByRole('button', { name: 'phone.jpg' }).click();
      await page.getByRole('dialog').getByText('4032 × 3024').waitFor();
      expect(sent).toHaveLength(1);
      expect(sent[0]).toBeLessThan(200_000);
    });
  });
});
