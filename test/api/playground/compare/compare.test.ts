// Sentences against photos in a real browser: the heat map, what was read of a sentence, the same request for a shell.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { BROWSER } from '../../../support/browser.ts';
import { openPages, violations } from '../../../support/pages.ts';

const SAMPLES = join(import.meta.dirname, '../../../../api/playground/samples');

describe.skipIf(!BROWSER)('the comparison', () => {
  const { visit } = openPages();
  const path = '/#compare';
  const cells = (page: Page) => page.locator('#heat tbody td').allTextContents();
  const isThere = (page: Page, count: number) => expect.poll(async () => (await cells(page)).length).toBe(count);

  test('is of every sentence with a few photos, which can be chosen', async () => {
    await visit({ path }, async (page) => {
      await isThere(page, 4 * 8);
      for (const cell of await cells(page)) {
        expect(Number(cell)).toSatisfy((value: number) => value >= 0 && value <= 1);
      }
      await page.getByRole('button', { name: 'Leave astronaut.jpg out' }).click();
      await isThere(page, 4 * 7);
      await page.getByRole('button', { name: 'Remove sentence 4' }).click();
      await isThere(page, 3 * 7);
      // The focus goes to what took its place.
      expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe('Remove sentence 3');
      await page.getByRole('link', { name: 'Search' }).click();
      await page.locator('#wall').getByRole('button', { name: 'astronaut.jpg' }).click();
      await page.getByRole('button', { name: 'In the comparison', pressed: false }).click();
      await page.getByRole('button', { name: 'In the comparison', pressed: true }).waitFor();
      await page.keyboard.press('Escape');
      await page.getByRole('link', { name: 'Compare' }).click();
      await isThere(page, 3 * 8);
      await page.getByRole('columnheader', { name: /astronaut/ }).waitFor();
    });
  });

  test('takes sentences that are changed, emptied and left by the keyboard', async () => {
    await visit({ path }, async (page) => {
      await isThere(page, 4 * 8);
      const sentence = (index: number) => page.getByLabel(`Sentence ${index}`, { exact: true });
      const sentences = () => page.locator('#texts input').evaluateAll((all) => all.map((one) => Object(one).value));
      await sentence(1).focus();
      await page.keyboard.press('End');
      await page.keyboard.type(' in Rome');
      await page.keyboard.press('Enter');
      await page.getByRole('rowheader', { name: 'a small cup of espresso on a wooden table in Rome' }).waitFor();
      await page.keyboard.press('Tab');
      const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label'));
      expect(await focused()).toBe('Remove sentence 1');

      await sentence(2).focus();
      await page.keyboard.press('Control+A');
      await page.keyboard.press('Backspace');
      await page.keyboard.press('Enter');
      await isThere(page, 3 * 8);
      expect(await sentences()).toEqual([
        'a small cup of espresso on a wooden table in Rome',
        'stars in the night sky',
        'une tasse de café',
      ]);
      expect(await focused()).toBe('Remove sentence 2');
    });
  });

  test('typed into a shell beside the photos, gives the same figures, whichever are shown', async () => {
    await visit({ path }, async (page) => {
      await isThere(page, 4 * 8);
      const shell = async () => {
        const command = (await page.locator('#curl').textContent()) ?? '';
        return JSON.parse(
          execFileSync('bash', ['-c', command], { cwd: SAMPLES, stdio: ['ignore', 'pipe', 'ignore'] }).toString(),
        );
      };
      for (const awkward of [`a "quoted" $HOME, \`date\` and a back\\slash, isn't it`, '@0@']) {
        await page.getByLabel('New sentence').fill(awkward);
        await page.getByRole('button', { name: 'Add', exact: true }).click();
      }
      await isThere(page, 6 * 8);
      const differs = async (figures: 'probabilities' | 'scores' | 'calibrated') => {
        const answer = await shell();
        const shown = await cells(page);
        // Both are rounded: two figures of one cosine may differ in the last digit.
        return answer[figures]
          .flat()
          .filter((value: number, at: number) => Math.abs(Number(shown[at]) - value) > 0.011);
      };
      await expect.poll(() => differs('probabilities')).toEqual([]);
      await page.getByLabel('Show').selectOption('cosine');
      await expect.poll(() => differs('scores')).toEqual([]);
      await page.getByLabel('Show').selectOption('probability');
      // At this length the model does not say how probable a match is: both mean the same, or not.
      await page.getByLabel('Dimensions').selectOption('128');
      await expect.poll(() => differs('calibrated')).toEqual([]);
      expect((await shell()).probabilities).toBeUndefined();
    });
  });

  test('says what was read of a long sentence, strikes out the rest and stays a page', async () => {
    await visit({ path }, async (page) => {
      await isThere(page, 4 * 8);
      const height = () => page.evaluate(() => document.body.scrollHeight);
      const before = await height();
      const sentence = page.getByRole('textbox', { name: 'Sentence 1' });
      await sentence.fill(`${'a brown dog runs over the grass '.repeat(625)}and this is the end`);
      await sentence.press('Enter');
      const receipt = page.locator('.receipt').first();
      await expect.poll(() => receipt.textContent()).toMatch(/^512 of \d+ tokens were read; cut: .*this is the end$/);
      expect(await receipt.locator('.cut').evaluate((node) => getComputedStyle(node).textDecorationLine)).toBe(
        'line-through',
      );
      await expect.poll(() => page.locator('#heat tbody th').first().textContent()).toContain('brown dog');
      expect(await height()).toBeLessThan(before + 500);
    });
  });

  test('gives no figures for words that the model does not know, and no command without sentences', async () => {
    await visit({ path }, async (page) => {
      await isThere(page, 4 * 8);
      const sentence = page.getByRole('textbox', { name: 'Sentence 1' });
      await sentence.fill('ᚠᚢᚦ');
      await sentence.press('Enter');
      await expect.poll(async () => (await cells(page)).slice(0, 8)).toEqual(Array(8).fill('–'));
      expect((await cells(page)).slice(8)).not.toContain('–');
      expect(await page.locator('.receipt').first().textContent()).toMatch(/The model knows none of this\. Try other/);
      for (let left = 4; left > 0; left -= 1) await page.getByRole('button', { name: 'Remove sentence 1' }).click();
      await page.getByText('Add a sentence to compare').waitFor();
      expect(await page.locator('#curl').isVisible()).toBe(false);
    });
  });

  test('asks once for the photos to be read again where they are of another model, and reads them there', async () => {
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
    await visit({ path, before }, async (page) => {
      await isThere(page, 4 * 8);
      await page.getByRole('button', { name: 'Leave astronaut.jpg out' }).click();
      await isThere(page, 4 * 7);
      // The service judges vectors of its own spaces only.
      await page.getByLabel('Show').selectOption('cosine');
      const was = await cells(page);
      isAfter = true;
      await page.getByLabel('New sentence').fill('a temple');
      await page.getByRole('button', { name: 'Add', exact: true }).click();
      await page.getByText('The server has another model now: 8 photos must be read again.').waitFor();
      expect(await page.locator('#compare-error').isVisible()).toBe(false);
      await isThere(page, 0);
      const asked = requests;
      await page.waitForTimeout(1500);
      expect(requests).toBe(asked);
      await page.getByRole('button', { name: 'Read them again' }).click();
      // What was left out stays out.
      await isThere(page, 5 * 7);
      expect((await cells(page)).slice(0, 4 * 7)).toEqual(was);
      expect(await page.getByRole('button', { name: 'Read them again' }).isVisible()).toBe(false);
      expect(await violations(page)).toEqual([]);
    });
  });

  test('copies the command, and says so where it cannot', async () => {
    await visit({ path, permissions: ['clipboard-read', 'clipboard-write'] }, async (page) => {
      await isThere(page, 4 * 8);
      await page.getByRole('button', { name: 'Copy' }).click();
      await page.getByText('Copied.').waitFor();
      expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(await page.locator('#curl').textContent());
      // As on plain HTTP.
      await page.evaluate(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
      await page.getByRole('button', { name: 'Copy' }).click();
      await page.getByText('it is selected').waitFor();
      expect(await page.evaluate(() => String(getSelection()))).toMatch(/^curl /);
    });
  });
});
