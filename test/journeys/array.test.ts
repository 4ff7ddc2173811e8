// `prepare` as an array job: real containers on AWS's APIs over HTTP, one of them killed, compared with one process on this machine.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BatchClient } from '@aws-sdk/client-batch';
import { expect, it, vi } from 'vitest';
import { openStore } from '../../api/registry/stores/open.ts';
import { dataFileKey } from '../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../contracts/src/schema-version.ts';
import { byStage } from '../../contracts/src/stages.ts';
import { openBatch } from '../../trainer/control/aws/batch.ts';
import { readStatus } from '../../trainer/control/aws/status.ts';
import { planOnAws, submitRecipe } from '../../trainer/control/aws/submit.ts';
import { arraySizes } from '../../trainer/control/plan/array-size.ts';
import { indexData } from '../../trainer/control/recipe/data-index.ts';
import type { RunEvent, StageStatus } from '../../trainer/control/run/events.ts';
import { deploy, startAws } from '../support/aws-emulator.ts';
import { warmPython } from '../support/python.ts';
import { tinyRecipe } from '../support/tiny-recipe.ts';

vi.setConfig({ testTimeout: 180_000 });

const ROOT = join(import.meta.dirname, '../..');
/** Two tars to train on, one of which repeats an image of the other under another key, and one to measure on. */
const DRAW = `
import io, sys, tarfile
from pathlib import Path
from PIL import Image
for number, (name, colours) in enumerate({"train-0": (10, 60, 110), "train-1": (160, 60, 210), "dev": (40, 90)}.items()):
    with tarfile.open(Path(sys.argv[1]) / f"{name}.tar", "w") as tar:
        for place, colour in enumerate(colours):
            picture = io.BytesIO()
            Image.new("RGB", (32, 24), (colour, 255 - colour, 7)).save(picture, "PNG")
            for ending, data in (("png", picture.getvalue()), ("txt", f"colour {colour}".encode())):
                member = tarfile.TarInfo(f"{name}_{place}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
`;

it('children do one element each, a killed one is tried again alone, and the join is what one process makes', async () => {
  const python = await warmPython();
  const folder = mkdtempSync(join(tmpdir(), 'array data '));
  execFileSync(python, ['-c', DRAW, folder]);
  const { prepare, ...tiny } = tinyRecipe();
  const recipe = {
    ...tiny,
    prepare: { ...prepare, texts: [], classes: null, class_images: null },
    job_arrays: { prepare: 3 },
  };
  const data = await indexData(recipe, folder, { cache: join(mkdtempSync(join(tmpdir(), 'cache-')), 'digests.json') });
  const arrays = arraySizes(recipe, data.tars);
  const aws = await startAws(join(ROOT, 'trainer'), { LEASE_SECONDS: '3', SYNC_SECONDS: '0.2' });
  try {
    const deployment = { ...(await deploy(aws)), logGroup: '/aws/batch/job' };
    const credentials = { accessKeyId: 'testing', secretAccessKey: 'testing' };
    const store = openStore(`s3://${deployment.trainingBucket}`, { endpoint: aws.endpoint, credentials });
    const batch = openBatch(new BatchClient({ endpoint: aws.endpoint, region: 'us-east-1', credentials }));
    const code = byStage(() => `sha256:${'c'.repeat(64)}`);
    const events: RunEvent[] = [];
    const logs = { read: async () => ({ lines: [] }), tail: async () => [] };
    const clients = { deployment, store, batch, logs, emit: (event: RunEvent) => void events.push(event) };
    const { plan } = await planOnAws({ recipe, code, data, arrays, store });
    const jobs = plan.jobs.filter(({ job }) => job.id === 'prepare');
    const output = jobs[0]?.job.output.slice(store.uri.length + 1) ?? '';
    const submitted: { id: string; size: number | undefined; dependsOn: readonly string[] }[] = [];
    const submit = (): Promise<void> =>
      submitRecipe(
        { recipe, code, data, folder, arrays, jobs },
        {
          ...clients,
          batch: {
            ...batch,
            submit: async (stage, dependsOn) => {
              const id = await batch.submit(stage, dependsOn);
              submitted.push({ id, size: stage.array_size, dependsOn });
              return id;
            },
          },
        },
      );
    const seen: StageStatus[] = [];
    const until = async (status: string): Promise<StageStatus> => {
      for (let attempt = 0; attempt < 400; attempt += 1) {
        const row = (await readStatus('tiny', clients)).find(({ id }) => id === 'prepare');
        if (row !== undefined) seen.push(row);
        if (row?.status === status) return row;
        await new Promise((wake) => setTimeout(wake, 200));
      }
      throw new Error(`prepare never came to ${status}: ${JSON.stringify(seen.at(-1))}`);
    };

    await submit();
    const [array, joining] = submitted;
    expect(array).toMatchObject({ size: 3, dependsOn: [] });
    expect(joining).toMatchObject({ size: undefined, dependsOn: [array?.id] });
    await batch.terminate(`${array?.id}:1`, 'the machine was reclaimed');
    const failed = await until('failed');
    expect(failed.reason).toContain('1 of 3 containers failed');
    const done = async (): Promise<Map<string, string>> => {
      const found = (await store.list(`${output}/elements/`)).filter(({ key }) => /\/\d{5}\.json$/.test(key));
      const texts = found.map(async ({ key }) => [key, (await (await store.get(key))?.text()) ?? ''] as const);
      return new Map(await Promise.all(texts));
    };
    expect([...(await done()).keys()].map((key) => key.slice(-10))).toEqual(['00000.json', '00002.json']);
    // What is done is not done again: a tar that is altered in the store would be refused by whoever reads it.
    const altered = data.files.find(({ path }) => path === 'dev.tar');
    const stored = dataFileKey(altered?.digest ?? '');
    const whole = await store.get(stored);
    expect(whole?.size).toBe(altered?.size);
    await store.put(stored, Buffer.alloc(altered?.size ?? 0));

    await submit();
    expect(submitted).toHaveLength(4);
    const finished = await until('succeeded');
    expect(finished.reason).toBeNull();
    expect(seen.some(({ progress }) => progress?.total === 3)).toBe(true);

    // ---- the same by one process here ------------------------------------------------------------------------------
    const here = mkdtempSync(join(tmpdir(), 'one process '));
    const { job } = jobs[0] ?? {};
    const local = {
      schema_version: SCHEMA_VERSION,
      ...job,
      inputs: { data: `file://${folder}` },
      output: `file://${here}`,
    };
    mkdirSync(here, { recursive: true });
    writeFileSync(join(here, 'job.json'), JSON.stringify(local));
    const PYTHONPATH = `${join(ROOT, 'trainer')}:${join(ROOT, 'contracts/python')}`;
    execFileSync(python, ['-m', 'stages.prepare', join(here, 'job.json')], {
      env: { ...process.env, PYTHONPATH },
      stdio: 'pipe',
    });
    const manifest = readFileSync(join(here, 'shards.json'), 'utf8');
    expect(await (await store.get(`${output}/shards.json`))?.text()).toBe(manifest);
    const { shards } = JSON.parse(manifest) as { shards: { images?: { path: string }; rows: { path: string } }[] };
    const named = shards.flatMap(({ images, rows }) => [rows.path, ...(images === undefined ? [] : [images.path])]);
    const kept = (await store.list(`${output}/`)).map(({ key }) => key.slice(output.length + 1));
    expect(kept.toSorted()).toEqual(
      [...named, 'shards.json', 'dropped.jsonl', 'report.json', 'job.json', 'log.txt'].toSorted(),
    );
  } finally {
    aws.stop();
  }
});
