// Where a deployed Worker listens, by what wrangler writes of its triggers (`targets` of WRANGLER_OUTPUT_FILE_PATH).
import { appendFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { deployWorker } from '../../../../infra/deploy/worker/deploy.ts';

function deployed(targets: readonly string[]) {
  return deployWorker({
    environment: 'prod',
    variables: {},
    secrets: {},
    async run(_program, _args, options) {
      const line = { type: 'deploy', worker_name: 'edge-clip', version_id: '1', targets };
      appendFileSync(options?.env?.WRANGLER_OUTPUT_FILE_PATH ?? '', `${JSON.stringify(line)}\n`);
      return '';
    },
  });
}

const SCHEDULE = 'schedule: */5 * * * *';

it.each([
  [['https://edge-clip.me.workers.dev', SCHEDULE], 'https://edge-clip.me.workers.dev'],
  [['clip.example.com (custom domain)', SCHEDULE], 'https://clip.example.com'],
  [['clip.example.com/* (zone name: example.com)', SCHEDULE], 'https://clip.example.com'],
  [['example.com/clip/* (zone id: 0123)'], 'https://example.com/clip'],
  [
    [SCHEDULE, '*.example.com/* (zone name: example.com)', 'clip.example.com (custom domain)'],
    'https://clip.example.com',
  ],
])('of %j is %s', async (targets, url) => {
  expect(await deployed(targets)).toEqual({ name: 'edge-clip', version: '1', url });
});

it.each([[[SCHEDULE]], [[]]])('of %j is none, which is said', async (targets) => {
  await expect(deployed(targets)).rejects.toThrow('the Worker is deployed and has no address: give it a route');
});
