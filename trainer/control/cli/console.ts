// Prints events for a person: a live line on a terminal, a line every ten seconds elsewhere.
import { fromFileUri } from '../../../api/registry/stores/file-uri.ts';
import type { DatasetPointer } from '../../../contracts/src/data/dataset.ts';
import { ranksOf } from '../../../contracts/src/job-classes.ts';
import type { LanguageNeeds } from '../plan/forms/language-needs.ts';
import type { StageNeeds } from '../plan/stage-needs.ts';
import { leftOf, type SideBySide, type StagePlan } from '../plan/stage-plan.ts';
import type { Emit, RunEvent, StageStatus } from '../run/events.ts';
import { createLiveLines } from '../run/live-lines.ts';
import { durationText, metricText, progressText } from '../run/progress.ts';
import type { CommandContext } from './context.ts';

export interface ConsoleOptions {
  write(text: string): void;
  /** Width of the terminal now, which a person may change; undefined where the output is not one. */
  columns?: (() => number) | undefined;
  /** Milliseconds of a clock that nobody sets. */
  now?: () => number;
}

/** What a command prints events with: one line of JSON each where it was asked for that, else text as wide as the terminal. */
export function consoleOf({ stdout }: Pick<CommandContext, 'stdout'>, { json }: { json: boolean }): Emit {
  const write = (text: string): void => void stdout.write(text);
  // Of a terminal that was made without a size the width is 0.
  const columns = stdout.isTTY === true ? (): number => stdout.columns || 80 : undefined;
  return json ? createJsonConsole(write) : createConsole({ write, columns });
}

/** Prints each event as one line of JSON. */
export function createJsonConsole(write: (text: string) => void): Emit {
  return function emitJson(event) {
    write(`${JSON.stringify(event)}\n`);
  };
}

export function createConsole({ write, columns, now = () => performance.now() }: ConsoleOptions): Emit {
  const live = createLiveLines({ write, columns, now });
  let upload: { since: number; of: number } | undefined;
  return function emitText(event) {
    if (event.event === 'progress') {
      live.show(event.id, progressText(event), { isLast: event.step === event.total });
    } else if (event.event === 'uploading') {
      if (upload?.of !== event.of_bytes) upload = { since: now(), of: event.of_bytes };
      live.show('', uploadText(event, now() - upload.since), { isLast: event.files === event.of });
      // Data and each folder of weights are uploads of their own.
      if (event.files === event.of) upload = undefined;
    } else {
      live.clear();
      if (ends(event)) live.end(event.id ?? '');
      for (const line of linesOf(event)) write(`${line}\n`);
    }
  };
}

/** Whether a stage has no progress from now on, or that of another attempt. */
function ends(
  event: RunEvent,
): event is Extract<RunEvent, { event: 'running' | 'succeeded' | 'interrupted' | 'failed' }> {
  return ['running', 'succeeded', 'interrupted', 'failed'].includes(event.event);
}

function linesOf(event: Exclude<RunEvent, { event: 'progress' | 'uploading' }>): string[] {
  switch (event.event) {
    case 'recipe':
      return [JSON.stringify(event.recipe, null, 2)];
    case 'plan':
      return planLines(event);
    case 'language_needs':
      return event.needs.map(needsText);
    case 'needs':
      return [
        `Upload: ${gigabytes(event.upload_bytes)} at most, what is stored already is not sent again`,
        ...event.needs.map(stageNeedsText),
      ];
    case 'reading_data':
      return [`Reading ${megabytes(event.bytes)} of data once, to know it again later`];
    case 'reused':
      return [`${event.id}: reused`];
    case 'running':
      return [
        `[${event.number}/${event.of}] ${event.id} in ${fromFileUri(event.output) ?? event.output}`,
        ...(event.note === null ? [] : [`  ${event.note}`]),
      ];
    case 'stopping':
      return [
        `Stopping ${event.id} at its next checkpoint. Ctrl-C again ends it at once and loses what it did since the last one.`,
      ];
    case 'succeeded': {
      const metrics = Object.entries(event.metrics).map(([name, value]) => `${name} ${metricText(value)}`);
      return [
        `${event.id}: done in ${durationText(event.seconds)}`,
        ...(metrics.length === 0 ? [] : [`  ${metrics.join('  ')}`]),
        ...event.notes.map((note) => `  ${note}`),
      ];
    }
    case 'interrupted':
      return [event.message];
    case 'finishing':
      return [
        `${event.ids.join(' and ')} still run${event.ids.length === 1 ? 's' : ''} to the end; nothing else is begun. Ctrl-C: at the next checkpoint.`,
      ];
    case 'failed':
      return [
        ...event.tail.map((line) => `  | ${line}`),
        `${event.id} failed: ${event.message}.`,
        `The whole log: ${event.log}`,
        'Finished stages are kept: fix the cause and run the same command again.',
      ];
    case 'comparison':
      return ['', event.table.trimEnd()];
    case 'installed':
      return [`Installed ${event.files} files (${megabytes(event.bytes)}) in ${event.folder}`];
    case 'submitted':
      return [`${event.id}: ${event.already ? 'submitted before, still active' : 'submitted'} as ${event.job_id}`];
    case 'status':
      return statusLines(event);
    case 'log':
      return [event.message];
    case 'cancelled':
      return [`${event.id}: cancelled (${event.job_id})`];
    case 'refused':
      return [event.message];
    case 'pushed':
      return pushedLines(event);
    case 'datasets':
      return event.datasets.length === 0 ? ['No data was pushed yet'] : event.datasets.map(datasetText);
    case 'dataset':
      return [
        datasetText(event.dataset),
        `  ${event.state}`,
        ...event.files.map(
          ({ path, size, digest }) => `  ${digest.slice(7, 19)}  ${megabytes(size).padStart(12)}  ${path}`,
        ),
      ];
  }
}

function uploadText({ files, of, bytes, of_bytes }: Extract<RunEvent, { event: 'uploading' }>, ms: number): string {
  const left =
    ms < 3_000 || bytes === 0 || files === of
      ? ''
      : `, ${durationText(((ms / 1000) * (of_bytes - bytes)) / bytes)} left`;
  return `Uploaded ${files} of ${of} files, ${megabytes(bytes)} of ${megabytes(of_bytes)}${left}`;
}

function datasetText({ name, digest, files, bytes, moved_at }: DatasetPointer): string {
  return `${name}  ${digest}  ${files} files, ${megabytes(bytes)}, pushed ${moved_at}`;
}

function pushedLines({ dataset, sent, moved, submitted }: Extract<RunEvent, { event: 'pushed' }>): string[] {
  const { name, files } = dataset;
  const sentText = `Sent ${sent.files} of ${files} files (${megabytes(sent.bytes)}), the others were stored before`;
  if (!moved) return [sentText, `${name} is this data already: nothing was moved and nothing starts`];
  return [
    sentText,
    datasetText(dataset),
    submitted
      ? `The pipeline trains ${name} with it now; npm run train -- status recipes/${name}.json --on aws shows how far it is`
      : `${name} was never submitted: the pipeline trains it from the first submission on`,
  ];
}

function planLines({
  recipe,
  runs,
  stages,
  side_by_side: beside,
  prices,
}: Extract<RunEvent, { event: 'plan' }>): string[] {
  const width = Math.max(...stages.map(({ id }) => id.length));
  const queued = stages.filter(({ status }) => status === 'queued');
  const { missing, estimated_seconds, without_estimate: unknown } = leftOf(stages);
  const lines = stages.map((stage) => `  ${stage.id.padEnd(width)}  ${stageText(stage)}`);
  const time = [
    ...(missing > unknown
      ? [
          `about ${durationText(beside?.estimated_seconds ?? estimated_seconds)}${beside === null ? '' : `, ${beside.parallel} at a time`}`,
        ]
      : []),
    ...(unknown > 0 ? [`${unknown} of unknown length`] : []),
  ];
  const summary = missing === 0 ? 'nothing to run' : `${missing} to run: ${time.join(', ')}`;
  const cost = prices === null || missing === 0 ? [] : [costText(queued, prices)];
  const share = beside === null || missing === unknown ? [] : [shareText(beside)];
  return [
    `Recipe ${recipe}, runs in ${runs}`,
    ...lines,
    `${stages.length - missing} finished, ${summary}`,
    ...share,
    ...cost,
  ];
}

function shareText({ slowdown }: SideBySide): string {
  if (slowdown === 1) return 'The time of each stage is that by itself; beside others it is taken to be as fast';
  return `The time of each stage is that by itself; with its share of the cores it is taken to need ${slowdown.toPrecision(2)} times as long, and needs less where it leaves cores idle`;
}

/** `contrastive: 8.03 billion parameters, 48.6 GB on a GPU, …; at most 7.2e+8 tokens: A10G too small, …, H100 21 h` */
function needsText({ stage, parameters, gpu_bytes, host_bytes, class_bytes, tokens, gpus }: LanguageNeeds): string {
  const room = `${gigabytes(host_bytes)} of memory to load it (the job class has ${gigabytes(class_bytes)})`;
  const times = gpus.map(({ gpu, fits, hours }) => `${gpu} ${fits ? `${hours.toPrecision(2)} h` : 'too small'}`);
  const amount = stage === 'embed_captions' ? 'for' : 'at most';
  return `${stage}: ${(parameters / 1e9).toFixed(2)} billion parameters, ${gigabytes(gpu_bytes)} on a GPU, ${room}; ${amount} ${tokens.toExponential(1)} tokens: ${times.join(', ')}`;
}

/** `clip (train_8_h100): 41.2 of 78.5 GB on each of 8 GPUs, 12.0 of 1924.1 GB of memory; 3.1 h of computation, $170.62 …` */
function stageNeedsText(needs: StageNeeds): string {
  const { stage, job_class, processor, hours, usd, unknown } = needs;
  const gpus = ranksOf(job_class);
  const of = (bytes: number | null, limit: number, what: string): string[] =>
    bytes === null || limit === 0 ? [] : [`${gigabytes(bytes).replace(' GB', '')} of ${gigabytes(limit)} ${what}`];
  const parts = [
    ...of(needs.gpu_bytes, needs.gpu_limit, gpus === 1 ? 'on its GPU' : `on each of ${gpus} GPUs`),
    ...of(needs.host_bytes, needs.host_limit, 'of memory'),
    ...of(needs.disk_bytes, needs.disk_limit, 'of disk'),
    ...(hours === null
      ? []
      : [
          `${hours.toPrecision(2)} h of computation, ${dollars(usd ?? 0)} (${processor} at the stated rate, not measured)`,
        ]),
  ];
  const open = unknown.length === 0 ? [] : [`not known: ${unknown.join('; ')}`];
  return `${stage} (${job_class}): ${[...parts, ...open].join(', ')}`;
}

function costText(queued: readonly StagePlan[], { date, region }: { date: string; region: string }): string {
  const known = queued.flatMap(({ estimated_usd }) => (estimated_usd === null ? [] : [estimated_usd]));
  const limit = sum(queued.map(({ limit_usd }) => limit_usd ?? 0));
  const about = known.length === 0 ? '' : `about ${dollars(sum(known))} for those of known length, `;
  return `Cost on demand: ${about}at most ${dollars(limit)} by the time limits (prices of ${date}, ${region}; spot is tried first and costs less)`;
}

function statusLines({ recipe, submitted_at, stages }: Extract<RunEvent, { event: 'status' }>): string[] {
  const width = Math.max(...stages.map(({ id }) => id.length));
  return [
    `Recipe ${recipe}, submitted ${submitted_at}`,
    ...stages.map((stage) => `  ${stage.id.padEnd(width)}  ${statusText(stage)}`),
  ];
}

function statusText({ status, seconds, reason, attempts, progress }: StageStatus): string {
  const parts: string[] = [status === 'succeeded' ? 'finished' : (status ?? 'not submitted')];
  if (progress !== null) {
    const left = progress.seconds_left === null ? '' : `, ${durationText(progress.seconds_left)} left`;
    parts.push(`${progress.step}/${progress.total}${left}`);
  }
  if (seconds !== null) parts.push(`${status === 'succeeded' ? 'took' : 'for'} ${durationText(seconds)}`);
  if (attempts !== null && attempts > 1) parts.push(`attempt ${attempts}`);
  if (reason !== null) parts.push(reason);
  return parts.join('  ');
}

function stageText(stage: StagePlan): string {
  const { status, seconds, estimated_usd, output, containers } = stage;
  const name = output.slice(output.lastIndexOf('/') + 1);
  if (status === 'succeeded') return `finished  ${seconds === null ? '' : `took ${durationText(seconds)}, `}${name}`;
  const time = timeText(stage);
  const cost = estimated_usd === null ? '' : `, ${dollars(estimated_usd)}`;
  const shared = containers === null ? '' : `, in ${containers} containers`;
  return `to run    ${time}${cost}${shared}, ${name}`;
}

function timeText({ estimated_seconds, computed_seconds }: StagePlan): string {
  if (estimated_seconds !== null) return `about ${durationText(estimated_seconds)}`;
  return computed_seconds === null
    ? 'no earlier run to estimate from'
    : `about ${durationText(computed_seconds)} by arithmetic`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function dollars(usd: number): string {
  return `$${usd.toFixed(2)}`;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
