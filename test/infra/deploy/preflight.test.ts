// The checks before a deployment for machines that neither environment has: which of their kinds a region must have, and where.
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import type { Settings } from '../../../infra/base/settings.ts';
import { openAws } from '../../../infra/deploy/aws.ts';
import { preflight } from '../../../infra/deploy/preflight.ts';
import { settingsOf } from '../../../infra/environments.ts';
import { type AwsAccount, startAccount } from '../../support/aws-account.ts';
import { prepareAccount } from '../../support/deployment.ts';

let account: AwsAccount;
beforeAll(async () => {
  account = await startAccount();
  for (const [name, value] of Object.entries(account.env)) vi.stubEnv(name, value);
});
afterAll(() => {
  account.stop();
  vi.unstubAllEnvs();
});
beforeEach(() => prepareAccount(account));

async function checksOf(changed: Partial<Settings>) {
  const settings = { ...settingsOf('prod'), ...changed };
  const run = () => Promise.reject(new Error('nothing is run'));
  const options = { parameters: {}, worker: false, images: 'codebuild' as const, cloudflareAccount: undefined };
  return preflight({ settings, aws: openAws(), run, ...options });
}

async function check(name: string, changed: Partial<Settings>) {
  return (await checksOf(changed)).find((found) => found.name === name);
}

it('of kinds that are larger than a fleet may become, none has to be there', async () => {
  account.zones.set('p5.4xlarge', ['us-east-1a']);
  const one = await check('machines: h100', { h100: { on_demand_max_vcpus: 16 } });
  expect(one).toMatchObject({ verdict: 'ok', sentence: 'us-east-1a have machines of 1 types' });
  const eight = await check('machines: h100', { h100: { on_demand_max_vcpus: 192 } });
  expect(eight?.verdict).toBe('problem');
  expect(eight?.sentence).toMatch(/no p5\.48xlarge, .*: set "h100" to null in infra\/settings\/prod\.json/);
});

const ofQuotas = (name: string) => name.startsWith('quota: ');
const ofMachines = (name: string) => name.startsWith('machines: ');
it.each([
  ['GetServiceQuota', ofQuotas],
  ['DescribeStacks', (name: string) => name === 'bootstrap' || name === 'quota: Lambda'],
  ['DescribeAvailabilityZones', (name: string) => name === 'zones' || ofMachines(name)],
  ['DescribeInstanceTypeOfferings', ofMachines],
])('without the right to %s, what it would say is not checked, and everything else is', async (operation, unknown) => {
  const all = await checksOf({ registry: 's3' });
  expect(all.map(({ sentence }) => sentence).join()).not.toContain('not checked');
  account.denied.add(operation);
  const left = await checksOf({ registry: 's3' });
  const refused = {
    verdict: 'warning',
    sentence: expect.stringMatching(new RegExp(`^not checked: .*access is denied .*${operation}`)),
  };
  expect(left).toEqual(all.map((found) => (unknown(found.name) ? { name: found.name, ...refused } : found)));
});

it('machines that work together have to be in the one zone that they stand in', async () => {
  const nodes = { on_demand_max_vcpus: 384 };
  account.zones.set('p5.48xlarge', ['us-east-1b']);
  const elsewhere = await check('machines: nodes', { nodes });
  expect(elsewhere?.verdict).toBe('warning');
  expect(elsewhere?.sentence).toMatch(/^us-east-1b have .* would stand in us-east-1a, .*: choose another region$/);
  account.zones.set('p5.48xlarge', ['us-east-1a']);
  expect((await check('machines: nodes', { nodes }))?.verdict).toBe('ok');
});
