// The page of the interface in a real browser: every operation is there, examples are sent, nothing comes from elsewhere.
import { describe, expect, test } from 'vitest';
import type { Operation } from '../../../contracts/src/api/operation.ts';
import { OPERATIONS } from '../../../contracts/src/api/operations.ts';
import { BROWSER } from '../../support/browser.ts';
import { openPages, overflow } from '../../support/pages.ts';

const ALL = Object.entries<Operation>(OPERATIONS);

describe.skipIf(!BROWSER)('the page of the interface', () => {
  const { visit } = openPages();

  test('shows every operation, its fields and its answers, and sends an example that was changed', async () => {
    await visit({ path: '/docs' }, async (page) => {
      await page.locator('#operation-embed').waitFor();
      const titles = await page.locator('main h2').allTextContents();
      expect(titles.sort()).toEqual(ALL.map(([, { method, path, summary }]) => `${method} ${path} ${summary}`).sort());

      const embed = page.locator('#operation-embed');
      await embed.getByText('Parameters', { exact: true }).click();
      const parameter = embed.getByRole('row', { name: /^dry_run \(optional\)/ });
      expect(await parameter.textContent()).toMatch(/"1" \| "true".*embeds nothing.*\(query\)/);
      await embed.getByText('Fields of the body').click();
      const field = embed.getByRole('row', { name: /^dimensions \(optional\)/ }).first();
      expect(await field.textContent()).toMatch(/integer.*Length of the vectors/);
      await embed.getByText('Example: one').click();
      await embed.getByLabel('Body of one').fill('{"input": "a cat", "dimensions": 64}');
      await embed.getByRole('button', { name: 'Send' }).first().click();
      const answer = embed.locator('[data-answer="one"]');
      await expect.poll(() => answer.textContent()).toMatch(/^200\n\{"object":"list"/);
      expect(await embed.locator('pre').filter({ hasText: 'curl' }).first().textContent()).toContain(
        '"dimensions": 64',
      );

      // With a key in the field that is sent, the command has one of the shell's.
      const command = embed.locator('pre').filter({ hasText: 'curl' }).first();
      expect(await command.textContent()).not.toContain('authorization');
      await page.locator('#key').fill('of-mine');
      await expect.poll(() => command.textContent()).toContain('-H "authorization: Bearer $KEY"');
      expect(await command.textContent()).not.toContain('of-mine');
      await page.locator('#key').fill('');

      await embed.getByLabel('Body of one').fill('{"inputt": "a cat"}');
      await embed.getByRole('button', { name: 'Send' }).first().click();
      await expect.poll(() => answer.textContent()).toMatch(/^400\n.*inputt/);
    });
  });

  test('says without JavaScript what it needs, and where the interface is', async () => {
    await visit({ path: '/docs', javaScriptEnabled: false }, async (page) => {
      const said = page.locator('noscript p');
      await said.waitFor();
      expect(await said.textContent()).toMatch(/with JavaScript, which is off here/);
      expect(await said.locator('a').getAttribute('href')).toBe('openapi.json');
      expect(await page.getByText('Reading openapi.json').isVisible()).toBe(false);
    });
  });

  test('fits a phone', async () => {
    await visit({ path: '/docs', viewport: { width: 360, height: 740 } }, async (page) => {
      await page.locator('#operation-embed').waitFor();
      expect(await overflow(page)).toBeLessThanOrEqual(0);
    });
  });
});
