// Takes the README's picture of the photo search again: node test/support/screenshot.ts [FILE.png] [WHAT TO SEARCH FOR]
import { launchBrowser } from './browser.ts';
import { startLocalServer } from './local-server.ts';

const [file = 'api/playground/screenshot.png', words = 'something to drink'] = process.argv.slice(2);

const [server, browser] = await Promise.all([startLocalServer(), launchBrowser()]);
try {
  const page = await browser.newPage({ viewport: { width: 1120, height: 700 }, colorScheme: 'light' });
  await page.goto(server.url);
  await page.waitForFunction(() => document.querySelectorAll('#wall li:not(.waits)').length >= 8);
  await page.getByRole('searchbox').fill(words);
  await page.locator('#verdict').waitFor();
  await page.locator('h1').hover();
  await page.screenshot({ path: file });
  console.log(`${file}: ${await page.locator('#verdict').textContent()}`);
} finally {
  await browser.close();
  await server.stop();
}
