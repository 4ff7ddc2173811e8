// The loop closed: deploy, train, publish, new data, train, publish, roll back, while a load asks the Worker throughout.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { handler as gate } from '../../trainer/control/lambda/gate.ts';
import { handler as plan } from '../../trainer/control/lambda/plan.ts';
import { handler as publish } from '../../trainer/control/lambda/publish.ts';
import { runJob, SubmittedJob } from '../support/batch-job.ts';
import { plantModel } from '../support/exported-model.ts';
import { execute, RunsTable } from '../support/pipeline-execution.ts';
import { filesByPath, readModel, type TestModel } from '../support/registry.ts';
import { secondModel } from '../support/second-model.ts';
import { type CommandResult, data, model, train } from '../support/tiny-repository.ts';
import { type Cloud, openCloud, R2_KEYS } from './cloud.ts';
import { type Load, startLoad, type Verdict } from './load.ts';
import { pointersIn, startOfArrival, startOfSchedule, written } from './starts.ts';
import { type Row, Timeline } from './timeline.ts';

const NAME = 'tiny';
const RECIPE = `recipes/${NAME}.json`;
/** With the recipe's other files, this is new data. */
const NEW_SHARD = 'train-2.tar';

const Pushed = z.object({ sent: z.object({ files: z.number() }) });

export interface Loop extends Verdict {
  event: 'loop';
  seconds: number;
  first: string;
  second: string;
}

export interface LoopOptions {
  onRow(row: Row): void;
  /** Ends the loop after the step that is under way. */
  stop: AbortSignal;
}

/** Everything that was started is ended, and nothing is left of it on the disk. */
export async function closeLoop({ onRow, stop }: LoopOptions): Promise<Loop> {
  const timeline = new Timeline(onRow);
  const cloud = await timeline.step('emulate', openCloud, () => 'APIs of AWS, an R2 bucket, a checkout');
  let load: Load | undefined;
  try {
    const first = await readModel(EMBEDDED_MODEL);
    const second = secondModel(first);
    const spaces = { first: first.manifest.space_id, second: second.manifest.space_id };
    const url = await deploy(cloud, timeline, stop);
    load = await startLoad({ url, spaces, size: first.manifest.image.preprocess.size });
    timeline.counts = load.counts;
    const loop = new Walk({ cloud, timeline, load, stop });

    await loop.submit(first);
    await loop.execute('schedule', startOfSchedule(NAME));
    await loop.serves(spaces.first);

    await loop.push(second);
    await loop.serves(spaces.second);

    await loop.rollBack(first);
    await loop.serves(spaces.first);
    await load.stop();
    return { event: 'loop', seconds: timeline.now(), ...spaces, ...(await load.verdict()) };
  } finally {
    await load?.stop();
    await cloud.close();
  }
}

/** Each step of the command is a row. */
async function deploy(cloud: Cloud, timeline: Timeline, stop: AbortSignal): Promise<string> {
  let began = timeline.now();
  let what = '';
  return cloud.deploy((event) => {
    if (event.event === 'check') what = 'what the account allows is checked';
    if (event.event === 'step') {
      if (event.number === 1) timeline.note('deploy', what, began);
      began = timeline.now();
      what = event.what;
    }
    if (event.event === 'smoke') what = `${event.golden} golden vectors, the worst ${event.least_cosine.toFixed(4)}`;
    if (event.event === 'done') timeline.note('deploy', `${event.step}: ${what}`, began);
  }, stop);
}

interface WalkOptions {
  cloud: Cloud;
  timeline: Timeline;
  load: Load;
  stop: AbortSignal;
}

class Walk {
  readonly #options: WalkOptions;
  /** Of locks and records: DynamoDB's. */
  readonly #table = new RunsTable();

  constructor(options: WalkOptions) {
    this.#options = options;
  }

  /** The request that schedule and new data go by; `made`: the model that the recipe's `export` hands over. */
  async submit(made: TestModel): Promise<void> {
    const { cloud, timeline, stop } = this.#options;
    stop.throwIfAborted();
    plantModel(cloud.repository.root, filesByPath(made));
    const words = [RECIPE, '--on', 'aws', '--to', 'prepare', '--json'];
    await timeline.step(
      'submit',
      async () => printed(await train(cloud.repository.root, words, cloud.env)),
      () => `npm run train -- ${words.slice(0, -1).join(' ')}`,
    );
  }

  async push(made: TestModel): Promise<void> {
    const { cloud, timeline, stop } = this.#options;
    const { root } = cloud.repository;
    stop.throwIfAborted();
    plantModel(root, filesByPath(made));
    writeFileSync(join(root, 'data', NEW_SHARD), 'what came this week');
    const before = await pointersIn(cloud.training);
    await timeline.step(
      'push',
      async () => printed(await data(root, ['push', RECIPE, '--json'], cloud.env)),
      (pushed) => `npm run data -- push ${RECIPE}: ${Pushed.parse(pushed).sent.files} new file`,
    );
    const [key, ...more] = written(before, await pointersIn(cloud.training));
    const input = key === undefined || more.length > 0 ? undefined : startOfArrival(key);
    if (input === undefined) throw new Error(`no rule is met by ${key ?? 'nothing'}`);
    await this.execute('event', input);
  }

  /** One execution of the deployed state machine: the functions themselves, and jobs in the real container. */
  async execute(step: 'schedule' | 'event', input: Record<string, string>): Promise<void> {
    const { timeline, stop } = this.#options;
    timeline.note(step, `starts the pipeline with ${JSON.stringify(input)}`, timeline.now());
    const ran: string[] = [];
    let trainedFrom = 0;
    const handlers = {
      Plan: (given: unknown) =>
        timeline.step(
          'plan',
          () => plan(given),
          (planned) => ('idle' in planned ? planned.idle : `${planned.to_run} jobs to run`),
        ),
      async RunStage(given: unknown) {
        stop.throwIfAborted();
        if (ran.length === 0) trainedFrom = timeline.now();
        const job = SubmittedJob.parse(given);
        await runJob(job);
        ran.push(job.Tags.job);
        return {};
      },
      async Gate(given: unknown) {
        if (ran.length > 0) timeline.note('train', `${ran.length} jobs: ${ran.join(', ')}`, trainedFrom);
        return timeline.step(
          'gate',
          () => gate(given),
          ({ decision, reasons }) => `${decision}: ${reasons.join('; ')}`,
        );
      },
      Publish: (given: unknown) =>
        timeline.step(
          'publish',
          () => publish(given),
          ({ name, manifest }) => `${name} is ${short(manifest)}`,
        ),
    };
    const { error, states } = await execute(this.#table, handlers, input, 'dev');
    stop.throwIfAborted();
    if (error !== null || states.at(-1) !== 'Done')
      throw new Error(`the execution ended in ${states.at(-1)}: ${error ?? 'nothing was published'}`);
  }

  /** Texts of the Worker, then images of the encoder behind it. */
  async serves(space: string): Promise<void> {
    const { load, timeline, stop } = this.#options;
    await timeline.step(
      'answers',
      () => load.serves(space, stop),
      () => `every answer is of ${short(space)}`,
    );
  }

  async rollBack(to: TestModel): Promise<void> {
    const { cloud, timeline, stop } = this.#options;
    stop.throwIfAborted();
    const { name, space_id } = to.manifest;
    const env = {
      ...cloud.env,
      AWS_ACCESS_KEY_ID: R2_KEYS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: R2_KEYS.secretAccessKey,
    };
    const words = ['rollback', name, '--reason', 'shown', '--json'];
    await timeline.step(
      'rollback',
      async () => printed(await model(cloud.repository.root, words, env)),
      () => `npm run model -- rollback ${name}, to ${short(space_id)}`,
    );
  }
}

/** The last document that a command printed; an error with what it said where it failed. */
function printed({ code, stdout, stderr }: CommandResult): Record<string, unknown> {
  if (code !== 0) throw new Error(`ended with ${code}: ${stderr}${stdout}`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}');
}

const short = (digest: string): string => digest.replace('sha256:', '').slice(0, 12);
