// Publishing and rolling back, in a folder and in a bucket alike: what a reader finds at every moment.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type ExportedModel, readCandidate } from '../../../api/registry/candidate.ts';
import { decide } from '../../../api/registry/gate.ts';
import { activeReleases, readHistory, readIncumbent } from '../../../api/registry/history.ts';
import { publishModel, rollback } from '../../../api/registry/publish.ts';
import { type ObjectReader, type ObjectStore, storedObject } from '../../../api/registry/store.ts';
import { digestOfStream, sha256Of } from '../../../api/registry/stores/hash.ts';
import { openStore } from '../../../api/registry/stores/open.ts';
import { artefactKey, currentKey, manifestKey } from '../../../contracts/src/keys.ts';
import { type AwsEmulator, startAws } from '../../support/aws-emulator.ts';
import { GOOD_EVALUATION, smallModel, writeRuns } from '../../support/exported-model.ts';

vi.setConfig({ testTimeout: 60_000 });
const DEV = `sha256:${'d'.repeat(64)}`;
const credentials = { accessKeyId: 'testing', secretAccessKey: 'testing' };

let aws: AwsEmulator;
beforeAll(async () => {
  aws = await startAws(tmpdir());
});
afterAll(() => aws.stop());

let count = 0;
const KINDS: [string, () => Promise<ObjectStore>][] = [
  ['a folder', async () => openStore(`file://${mkdtempSync(join(tmpdir(), 'registry '))}`)],
  [
    'a bucket',
    async () => {
      const Bucket = `registry-${++count}`;
      const client = new S3Client({ endpoint: aws.endpoint, region: 'auto', credentials, forcePathStyle: true });
      await client.send(new CreateBucketCommand({ Bucket }));
      return openStore(`s3://${Bucket}`, { endpoint: aws.endpoint, credentials });
    },
  ],
];

/** A trained model of that version, with its runs in a folder of this machine. */
async function trained(version: string, evaluated: Record<string, number> = GOOD_EVALUATION): Promise<ExportedModel> {
  const runs = openStore(`file://${mkdtempSync(join(tmpdir(), 'runs '))}`);
  const { exported, evaluated: evaluation } = await writeRuns(runs, 'runs', smallModel(version), { evaluated });
  return readCandidate(openStore(exported), openStore(evaluation), DEV);
}

async function publish(registry: ObjectStore, candidate: ExportedModel) {
  return publishModel(registry, candidate, decide(candidate, await readIncumbent(registry, 'tiny')));
}

/** The registry with every write written down, and `stop` to make one of them fail. */
function recorded(
  registry: ObjectStore,
  stop: (key: string) => boolean = () => false,
): { store: ObjectStore; keys: string[] } {
  const keys: string[] = [];
  const put: ObjectStore['put'] = async (key, body, only) => {
    if (stop(key)) throw new Error(`the network failed at ${key}`);
    keys.push(key);
    return registry.put(key, body, only);
  };
  return { store: { ...registry, put }, keys };
}

describe.each(KINDS)('a registry in %s', (_, open) => {
  it('gets the files, the manifest, the release and the pointer, in that order', async () => {
    const registry = await open();
    const candidate = await trained('1');
    const { store, keys } = recorded(registry);
    const { manifest } = await publish(store, candidate);
    expect(manifest).toBe(sha256Of(candidate.bytes));
    expect(keys.slice(0, -3).every((key) => key.startsWith('artefacts/sha256/'))).toBe(true);
    expect(keys.at(-3)).toBe(manifestKey(manifest));
    expect(keys.at(-2)).toMatch(/^releases\/sha256\//);
    expect(keys.at(-1)).toBe(currentKey('tiny'));
    const vocabulary = candidate.manifest.text.tokenizer.vocabulary;
    const stored = await registry.get(artefactKey(vocabulary.digest));
    expect(await stored?.text()).toBe('v.txt of 1');
  });

  it('gets a file of many megabytes as a stream: none is in memory as a whole', async () => {
    const registry = await open();
    const candidate = await trained('1');
    const size = 12 * 2 ** 20;
    const stream = async function* () {
      for (let part = 0; part < 12; part++) yield new Uint8Array(2 ** 20).fill(part);
    };
    const digest = await digestOfStream(stream());
    const { text } = candidate.manifest;
    const file = { path: 'large.bin', digest, size };
    const manifest = { ...candidate.manifest, text: { ...text, graph: { ...text.graph, file } } };
    const run: ObjectReader = {
      uri: candidate.run.uri,
      async get(key) {
        if (!key.endsWith(file.path)) return candidate.run.get(key);
        const bytes = () => Promise.reject(new Error('it is read as a whole'));
        return storedObject({ size, etag: '', stream, bytes, digest: () => digestOfStream(stream()) });
      },
    };
    const decision = decide(candidate, undefined);
    await publishModel(registry, { ...candidate, manifest, run }, decision);
    expect(await (await registry.get(artefactKey(digest)))?.digest()).toBe(digest);
  });

  it('answers with the old model whatever step fails, and the next attempt finishes', async () => {
    const registry = await open();
    const first = await publish(registry, await trained('1'));
    const second = await trained('2');
    const steps = recorded(await open());
    await publish(steps.store, second);
    for (const failing of steps.keys) {
      const { store } = recorded(
        registry,
        (key) => key === failing || (failing.startsWith('releases/') && key.startsWith('releases/')),
      );
      await expect(publish(store, second)).rejects.toThrow('the network failed');
      expect((await readIncumbent(registry, 'tiny'))?.digest).toBe(first.manifest);
    }
    const { manifest } = await publish(registry, second);
    expect((await readIncumbent(registry, 'tiny'))?.digest).toBe(manifest);
  });

  it('goes back to the model before, further back, and forward again; the history keeps every move', async () => {
    const registry = await open();
    const [one, two, three] = [await trained('1'), await trained('2'), await trained('3')];
    for (const candidate of [one, two, three]) await publish(registry, candidate);
    const current = async () => (await readIncumbent(registry, 'tiny'))?.manifest.version;
    expect(await current()).toBe('3');
    await rollback(registry, 'tiny', { reason: 'searches for shoes find hats' });
    expect(await current()).toBe('2');
    await rollback(registry, 'tiny', { reason: 'so does this one' });
    expect(await current()).toBe('1');
    await expect(rollback(registry, 'tiny', { reason: 'again' })).rejects.toThrow(
      'there is no model before the current one',
    );
    await rollback(registry, 'tiny', { to: three.digest, reason: 'it was the hats' });
    expect(await current()).toBe('3');
    await rollback(registry, 'tiny', { reason: 'it was not' });
    expect(await current()).toBe('1');
    const history = await readHistory(registry, 'tiny');
    expect(history.map(({ action, reasons }) => `${action}: ${reasons[0]}`)).toEqual([
      'rollback: it was not',
      'rollback: it was the hats',
      'rollback: so does this one',
      'rollback: searches for shoes find hats',
      expect.stringMatching(/^publish: student_int8/),
      expect.stringMatching(/^publish: student_int8/),
      expect.stringMatching(/^publish: the first tiny/),
    ]);
    expect(activeReleases(history).map(({ manifest }) => manifest)).toEqual([one.digest]);
    // Figures travel with the pointer: a model that came back is what the next candidate is held against.
    expect((await readIncumbent(registry, 'tiny'))?.release.metrics).toEqual(GOOD_EVALUATION);
  });

  it('does not publish by its figures what a person took out of use, until a person brings it back', async () => {
    const registry = await open();
    const [one, two, three] = [await trained('1'), await trained('2'), await trained('3')];
    const current = async () => (await readIncumbent(registry, 'tiny'))?.manifest.version;
    for (const candidate of [one, two, three]) await publish(registry, candidate);
    await rollback(registry, 'tiny', { to: one.digest, reason: 'searches for shoes find hats' });
    // Everything after the target is taken back, and a pipeline that finds nothing new asks for the newest of them again.
    for (const [version, candidate] of [['2', two] as const, ['3', three] as const])
      await expect(publish(registry, candidate)).rejects.toThrow(
        new RegExp(
          `the gate rejected tiny ${version}: tiny ${version} was rolled back on .*shoes find hats.* --to ${candidate.digest}`,
        ),
      );
    expect(await current()).toBe('1');
    const four = await trained('4');
    await publish(registry, four);
    await expect(publish(registry, three)).rejects.toThrow('tiny 3 was rolled back');
    await rollback(registry, 'tiny', { to: three.digest, reason: 'it was the hats' });
    await rollback(registry, 'tiny', { reason: 'it was not' });
    await expect(publish(registry, three)).rejects.toThrow('it was not');

    // As `calibrate` makes one: without figures of a dev split.
    const calibrated = { ...(await trained('5')), dev_data: null };
    const verdict = { decision: 'publish' as const, reasons: ['scores fitted again'], incumbent: four.digest };
    await publishModel(registry, calibrated, verdict);
    await expect(publish(registry, four)).rejects.toThrow('tiny 4 gave way to a model that a person published');
    expect(await current()).toBe('5');
  });

  it('refuses what the gate rejected, and a decision that another publication has overtaken', async () => {
    const registry = await open();
    const [one, two] = [await trained('1'), await trained('2')];
    const early = decide(two, undefined);
    await publish(registry, one);
    await expect(publishModel(registry, two, early)).rejects.toThrow('the pointer of tiny moved meanwhile');
    const worse = await trained('3', { ...GOOD_EVALUATION, 'static.mean_recall': 0.1 });
    await expect(publish(registry, worse)).rejects.toThrow('the gate rejected tiny 3: static.mean_recall is 0.1');
    expect((await readIncumbent(registry, 'tiny'))?.digest).toBe(one.digest);
  });

  it('is told as it is where the answer to the move of the pointer was lost', async () => {
    const registry = await open();
    await publish(registry, await trained('1'));
    const candidate = await trained('2');
    const lossy: ObjectStore = {
      ...registry,
      // As an SDK does: the same once more, which the store refuses since the first one was written.
      async put(key, body, condition) {
        const isWritten = await registry.put(key, body, condition);
        return key === currentKey('tiny') ? registry.put(key, body, condition) : isWritten;
      },
    };
    expect(await publish(lossy, candidate)).toMatchObject({ manifest: candidate.digest });
    expect((await readIncumbent(registry, 'tiny'))?.digest).toBe(candidate.digest);
    expect(await readHistory(registry, 'tiny')).toHaveLength(2);
  });

  it('is told as it was where the same decision is carried out once more', async () => {
    const registry = await open();
    const [one, two, three] = [await trained('1'), await trained('2'), await trained('3')];
    for (const candidate of [one, two]) {
      const verdict = decide(candidate, await readIncumbent(registry, 'tiny'));
      const first = await publishModel(registry, candidate, { ...verdict, now: () => '2026-11-27T12:00:00.000Z' });
      // As Step Functions does: the state Publish again, with all that it was given.
      expect(await publishModel(registry, candidate, verdict)).toEqual(first);
    }
    expect(await readHistory(registry, 'tiny')).toHaveLength(2);
    // It came from another model, or by a person's hand.
    const overtaken = { decision: 'publish' as const, reasons: ['again'], incumbent: three.digest };
    await expect(publishModel(registry, two, overtaken)).rejects.toThrow('the pointer of tiny moved meanwhile');
    const early = decide(one, undefined);
    await rollback(registry, 'tiny', { reason: 'searches for shoes find hats' });
    await expect(publishModel(registry, one, early)).rejects.toThrow('the pointer of tiny moved meanwhile');
  });

  it('lets one of two publications through that race for the pointer', async () => {
    const registry = await open();
    const [one, two, three] = [await trained('1'), await trained('2'), await trained('3')];
    await publish(registry, one);
    const results = await Promise.allSettled([publish(registry, two), publish(registry, three)]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value.manifest] : []));
    expect((await readIncumbent(registry, 'tiny'))?.digest).toBe(won[0]);
    expect(await readHistory(registry, 'tiny')).toHaveLength(2);
  });

  it('writes an altered object again, and names one that was altered afterwards', async () => {
    const registry = await open();
    const candidate = await trained('1');
    const key = artefactKey(candidate.manifest.text.tokenizer.vocabulary.digest);
    await registry.put(key, Buffer.from('altered'));
    await publish(registry, candidate);
    expect(await (await registry.get(key))?.text()).toBe('v.txt of 1');
    await registry.put(manifestKey(candidate.digest), Buffer.from('{}'));
    await expect(readIncumbent(registry, 'tiny')).rejects.toThrow('is not what its name says: it was altered');
  });
});

describe('a run that is not what its report says', () => {
  it.each([
    ['text.onnx', 'other bytes!', 'text.onnx is not the file that its descriptor names'],
    ['report.json', '{"status": "failed"}', 'report.json breaks the contract'],
    ['manifest.json', '{}', 'manifest.json is not the file that its descriptor names'],
  ])('with another %s is not published', async (file, content, sentence) => {
    const runs = openStore(`file://${mkdtempSync(join(tmpdir(), 'runs '))}`);
    const registry = await (KINDS[0]?.[1]() ?? Promise.reject(new Error('no kind')));
    const { exported, evaluated } = await writeRuns(runs, 'runs', smallModel('1'));
    const name = [...smallModel('1').keys()].find((path) => path.endsWith(file)) ?? file;
    await runs.put(`runs/export/${name}`, Buffer.from(content));
    const attempt = async () => publish(registry, await readCandidate(openStore(exported), openStore(evaluated), DEV));
    await expect(attempt()).rejects.toThrow(sentence);
    expect(await registry.get(currentKey('tiny'))).toBeUndefined();
  });
});
