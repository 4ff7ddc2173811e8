// TypeScript tests: `node` and `infra` run in Node, `workerd` inside the real Workers runtime.
import { cloudflareTest } from '@cloudflare/vitest-plugin';
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';

const IN_NODE = {
  globalSetup: ['test/support/temporary-folder.ts', 'test/support/compile-cache.ts'],
  testTimeout: 60_000,
  hookTimeout: 120_000,
  expect: { poll: { timeout: 20_000 } },
} satisfies TestProjectInlineConfiguration['test'];

export default defineConfig({
  test: {
    // Many files wait for processes that they started: on two cores, one file at a time leaves half of the time unused.
    maxWorkers: '100%',
    projects: [
      {
        test: {
          ...IN_NODE,
          globalSetup: [...IN_NODE.globalSetup, 'test/support/warm-python.ts'],
          name: 'node',
          include: ['test/**/*.test.ts'],
          exclude: ['test/infra/**', 'test/**/*.workerd.test.ts', '**/node_modules/**'],
        },
      },
      // They share the modules of a worker: half of their time was reading aws-cdk-lib anew for each file.
      { test: { ...IN_NODE, name: 'infra', include: ['test/infra/**/*.test.ts'], isolate: false } },
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
