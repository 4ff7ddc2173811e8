// Takes the README's picture of the photo search again: node test/support/screenshot.ts [FILE.webp] [WHAT TO SEARCH FOR]
import sharp from 'sharp';
import { launchBrowser } from './browser.ts';
import { startLocalServer } from './local-server.ts';

const [file = 'api/playground/screenshot.webp', words = 'something to drink'] = process.argv.slice(2);

const [server, browser] = await Promise.all([startLocalServer(), launchBrowser()]);
try {
  const page = await browser.newPage({ viewport: { width: 1120, height: 700 }, colorScheme: 'light' });
  await page.goto(server.url);
  await page.waitForFunction(() => document.querySelectorAll('#wall li:not(.waits)').length >= 8);
  await page.getByRole('searchbox').fill(words);
  await page.locator('#verdict').waitFor();
  await page.locator('h1').hover();
  // A tenth of the bytes of the browser's own PNG.
  await sharp(await page.screenshot())
    .webp({ quality: 85, effort: 6, smartSubsample: true })
    .toFile(file);
  console.log(`${file}: ${await page.locator('#verdict').textContent()}`);
} finally {
  await browser.close();
  await server.stop();
}
