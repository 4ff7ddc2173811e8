// TypeScript tests: `node` runs in Node, `workerd` inside the real Workers runtime.
import { cloudflareTest } from '@cloudflare/vitest-plugin';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Many files wait for processes that they started: on two cores, one file at a time leaves half of the time unused.
    maxWorkers: '100%',
    projects: [
      {
        test: {
          name: 'node',
          globalSetup: ['test/support/temporary-folder.ts', 'test/support/compile-cache.ts'],
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.workerd.test.ts', '**/node_modules/**'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          expect: { poll: { timeout: 20_000 } },
        },
      },
      {
        plugins: [cloudflareTest({ wrangler: { configPath: './wrangler.toml' } })],
        test: {
          name: 'workerd',
          include: ['test/**/*.workerd.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Of `npm run fuzz`; `npm test` makes few bodies.
          provide: {
            fuzz: { runs: Number(process.env.FUZZ_RUNS ?? 200), seed: Number(process.env.FUZZ_SEED ?? 20261126) },
          },
        },
      },
    ],
  },
});
