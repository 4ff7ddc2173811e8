// The local bundle and the deployed one: wrangler.toml and `npm start` say the same.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { unstable_readConfig } from 'wrangler';
import { ASSETS } from '../../../api/dev/assets/build.ts';
import { bundleWorker, RULES } from '../../../api/dev/bundle.ts';
import { BUCKET, COMPATIBILITY_DATE, RUN_WORKER_FIRST } from '../../../api/dev/local-worker.ts';
import type { Operation } from '../../../contracts/src/api/operation.ts';
import { OPERATIONS } from '../../../contracts/src/api/operations.ts';

interface WranglerConfig {
  compatibility_date?: string;
  r2_buckets: { binding: string }[];
  assets?: { directory?: string; binding?: string; run_worker_first?: string[] };
  build: { command?: string };
  rules: { type: string; globs: string[] }[];
}
const ROOT = join(import.meta.dirname, '../../..');
const config: WranglerConfig = unstable_readConfig({ config: join(ROOT, 'wrangler.toml') });

test('the compatibility date and the name of the bucket are those of wrangler.toml', () => {
  expect(config.compatibility_date).toBe(COMPATIBILITY_DATE);
  expect(config.r2_buckets.map(({ binding }) => binding)).toEqual([BUCKET]);
});

test('the static files are those that wrangler has made before it sends them', () => {
  const scripts: Record<string, string> = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).scripts;
  expect(config.build.command).toBe('npm run --silent assets');
  expect(scripts.assets).toBe('node api/dev/assets/build.ts');
  expect(join(ROOT, config.assets?.directory ?? '')).toBe(ASSETS);
  expect(config.assets?.binding).toBe('ASSETS');
});

test('every path of the API comes to the Worker before a static file is looked for, in workerd as on the platform', () => {
  const rules = config.assets?.run_worker_first ?? [];
  expect(RUN_WORKER_FIRST).toEqual(rules);
  const isFirst = (path: string) =>
    rules.some((rule) => (rule.endsWith('*') ? path.startsWith(rule.slice(0, -1)) : path === rule));
  const paths = Object.values<Operation>(OPERATIONS).flatMap(({ path, aliases = [] }) => [path, ...aliases]);
  expect(paths.filter((path) => !isFirst(path))).toEqual([]);
});

test('files that are not code become the same kind of module', () => {
  expect(RULES.map(({ type }) => type)).toEqual(config.rules.map(({ type }) => type));
  for (const { type, globs } of config.rules) {
    const pattern = RULES.find((rule) => rule.type === type)?.pattern ?? /^$/;
    for (const glob of globs) expect(glob.replaceAll('**', 'a').replaceAll('*', 'file')).toMatch(pattern);
  }
});

test('the script has the messages of one language: zod is imported as `* as z`, of which bundlers leave out what nobody names', async () => {
  const [script] = await bundleWorker();
  const languages = String(script?.contents).matchAll(/\/zod\/v4\/locales\/([\w-]+)\.js$/gm);
  expect([...languages].map(([, name]) => name).filter((name) => name !== 'index')).toEqual(['en']);
});
