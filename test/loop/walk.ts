// The loop closed: deploy, train, publish, new data, train, publish, roll back, while a load asks the Worker throughout.
import { z } from 'zod';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { EXIT } from '../../contracts/src/exit-codes.ts';
import { handler as gate } from '../../trainer/control/lambda/gate.ts';
import { handler as plan } from '../../trainer/control/lambda/plan.ts';
import { handler as publish } from '../../trainer/control/lambda/publish.ts';
import type { Stopped } from '../support/aws-emulator.ts';
import { runJob, SubmittedJob } from '../support/batch-job.ts';
import { execute, RunsTable } from '../support/pipeline-execution.ts';
import { readModel } from '../support/registry.ts';
import { type CommandResult, data, model, train } from '../support/tiny-repository.ts';
import type { Checkout } from './checkout.ts';
import { type Cloud, openCloud, R2_KEYS } from './cloud.ts';
import { changesOf, type Load, startLoad, type Verdict } from './load.ts';
import { isRetried, pointersIn, startOfArrival, startOfSchedule, written } from './starts.ts';
import { type Row, Timeline } from './timeline.ts';

const Pushed = z.object({ sent: z.object({ files: z.number() }) });

export interface Loop extends Verdict {
  event: 'loop';
  seconds: number;
  /** The spaces in the order in which they have to answer: of the model that is deployed, and of what the loop does. */
  order: string[];
}

export interface LoopOptions {
  /** Makes what is deployed and trained. */
  makeCheckout(): Promise<Checkout>;
  onRow(row: Row): void;
  /** Ends the loop after the step that is under way. */
  stop: AbortSignal;
}

/** Everything that was started is ended, and nothing is left of it on the disk. */
export async function closeLoop({ makeCheckout, onRow, stop }: LoopOptions): Promise<Loop> {
  const timeline = new Timeline(onRow);
  const cloud = await timeline.step(
    'emulate',
    () => openCloud(makeCheckout),
    () => 'APIs of AWS, an R2 bucket, a checkout',
  );
  let load: Load | undefined;
  try {
    const embedded = await readModel(EMBEDDED_MODEL);
    const folders = new Map([[embedded.manifest.space_id, EMBEDDED_MODEL]]);
    const url = await deploy(cloud, timeline, stop);
    load = startLoad(url, cloud.checkout.sent);
    timeline.counts = load.counts;
    await load.serves(embedded.manifest.space_id, stop);
    const loop = new Walk({ cloud, timeline, load, stop, folders });

    await loop.submit();
    const first = await loop.execute('schedule', startOfSchedule(cloud.checkout.name));
    await loop.serves(first.space);

    const second = await loop.push();
    await loop.serves(second.space);

    await loop.rollBack(first);
    await loop.serves(first.space);
    await load.stop();
    const order = changesOf([embedded.manifest.space_id, first.space, second.space, first.space]);
    return { event: 'loop', seconds: timeline.now(), order, ...(await load.verdict(folders)) };
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
  /** Where every model is that was current, by space: published ones are added. */
  folders: Map<string, string>;
}

interface Current {
  name: string;
  space: string;
}

class Walk {
  readonly #options: WalkOptions;
  /** Of locks and records: DynamoDB's. */
  readonly #table = new RunsTable();

  constructor(options: WalkOptions) {
    this.#options = options;
  }

  /** Leaves the request that schedule and new data go by. */
  async submit(): Promise<void> {
    const { cloud, timeline, stop } = this.#options;
    const { root, name } = cloud.checkout;
    stop.throwIfAborted();
    const words = [recipeOf(name), '--on', 'aws', '--to', 'prepare', '--json'];
    await timeline.step(
      'submit',
      async () => printed(await train(root, words, cloud.env)),
      () => `npm run train -- ${words.slice(0, -1).join(' ')}`,
    );
  }

  async push(): Promise<Current> {
    const { cloud, timeline, stop } = this.#options;
    const { root, name, arrive } = cloud.checkout;
    stop.throwIfAborted();
    arrive();
    const before = await pointersIn(cloud.training);
    await timeline.step(
      'push',
      async () => printed(await data(root, ['push', recipeOf(name), '--json'], cloud.env)),
      (pushed) => `npm run data -- push ${recipeOf(name)}: ${Pushed.parse(pushed).sent.files} new file`,
    );
    const [key, ...more] = written(before, await pointersIn(cloud.training));
    const input = key === undefined || more.length > 0 ? undefined : startOfArrival(key);
    if (input === undefined) throw new Error(`no rule is met by ${key ?? 'nothing'}`);
    return this.execute('event', input);
  }

  /** One execution of the deployed state machine: the functions themselves, and jobs in the real container. What it published. */
  async execute(step: 'schedule' | 'event', input: Record<string, string>): Promise<Current> {
    const { cloud, folders, timeline, stop } = this.#options;
    timeline.note(step, `starts the pipeline with ${JSON.stringify(input)}`, timeline.now());
    const ran: string[] = [];
    const current: Current[] = [];
    let trainedFrom = 0;
    const known = cloud.stopped.length;
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
        const began = timeline.now();
        await runJob(job);
        ran.push(`${job.Tags.job} ${(timeline.now() - began).toFixed(1)}`);
        return {};
      },
      async Gate(given: unknown) {
        if (ran.length > 0) timeline.note('train', `${ran.length} jobs, each in s: ${ran.join(', ')}`, trainedFrom);
        for (const stopped of cloud.stopped.slice(known)) noteStopped(timeline, stopped);
        return timeline.step(
          'gate',
          () => gate(given),
          ({ decision, reasons }) => `${decision}: ${reasons.join('; ')}`,
        );
      },
      async Publish(given: unknown) {
        const published = await timeline.step(
          'publish',
          () => publish(given),
          ({ name, manifest }) => `${name} is ${short(manifest)}`,
        );
        const { space, folder } = await cloud.published(published.manifest);
        folders.set(space, folder);
        current.push({ name: published.name, space });
        return published;
      },
    };
    const { error, states } = await execute(this.#table, handlers, input, 'dev');
    stop.throwIfAborted();
    const [published] = current;
    if (error !== null || states.at(-1) !== 'Done' || published === undefined)
      throw new Error(`the execution ended in ${states.at(-1)}: ${error ?? 'nothing was published'}`);
    return published;
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

  async rollBack({ name, space }: Current): Promise<void> {
    const { cloud, timeline, stop } = this.#options;
    stop.throwIfAborted();
    const env = {
      ...cloud.env,
      AWS_ACCESS_KEY_ID: R2_KEYS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: R2_KEYS.secretAccessKey,
    };
    const words = ['rollback', name, '--reason', 'shown', '--json'];
    await timeline.step(
      'rollback',
      async () => printed(await model(cloud.checkout.root, words, env)),
      () => `npm run model -- rollback ${name}, to ${short(space)}`,
    );
  }
}

/** Of a machine that went away. Throws where the job did not go on from what it had saved, or would not be tried again where it is deployed. */
function noteStopped(timeline: Timeline, { job, at, seconds, after, exit, next, total }: Stopped): void {
  const what = `${job}: SIGTERM at step ${after} of ${total}, exit ${exit}, tried again, on with step ${next}`;
  if (exit !== EXIT.interrupted || next <= after || !isRetried(exit)) throw new Error(`it did not go on: ${what}`);
  timeline.note('reclaim', what, timeline.of(at), seconds);
}

/** The last document that a command printed; an error with what it said where it failed. */
function printed({ code, stdout, stderr }: CommandResult): Record<string, unknown> {
  if (code !== 0) throw new Error(`ended with ${code}: ${stderr}${stdout}`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}');
}

const recipeOf = (name: string): string => `recipes/${name}.json`;

const short = (digest: string): string => digest.replace('sha256:', '').slice(0, 12);
