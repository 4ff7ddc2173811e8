// Events that `npm run deploy` prints: one per line with --json, sentences otherwise.
import type { BreakEven } from '../serving/break-even.ts';
import type { StackState } from './aws.ts';
import type { Check } from './preflight.ts';
import type { WorkerSize } from './worker/deploy.ts';
import type { SmokeReport } from './worker/smoke.ts';

export type DeployEvent =
  | ({ event: 'check' } & Check)
  | { event: 'unchecked'; reason: string }
  | { event: 'step'; step: string; number: number; of: number; what: string }
  | { event: 'progress'; step: string; sentence: string }
  | { event: 'done'; step: string; seconds: number; values: Record<string, string> }
  | { event: 'failed'; step: string; message: string }
  | { event: 'reused'; step: string; finished_at: string }
  | { event: 'planned'; step: string; what: string; finished_at: string | null }
  | ({ event: 'size'; limit_kib: number } & WorkerSize)
  | ({ event: 'break_even'; machine: string; date: string; region: string } & BreakEven)
  | { event: 'source'; image: string; digest: string; files: number }
  | ({ event: 'stack' } & StackState)
  | ({ event: 'smoke'; url: string } & SmokeReport)
  | { event: 'deployed'; environment: string; url: string | null; outputs: string; seconds: number }
  | { event: 'emptied'; bucket: string; versions: number }
  | { event: 'destroyed'; environment: string; seconds: number };

export type EmitDeploy = (event: DeployEvent) => void;

export function deployConsole(write: (text: string) => void, { json }: { json: boolean }): EmitDeploy {
  return function emit(event) {
    write(
      json
        ? `${JSON.stringify(event)}\n`
        : linesOf(event)
            .map((line) => `${line}\n`)
            .join(''),
    );
  };
}

const MARKS = { ok: '  ok      ', warning: '  warning ', problem: '  PROBLEM ' } as const;

function linesOf(event: DeployEvent): string[] {
  switch (event.event) {
    case 'check':
      return [`${MARKS[event.verdict]} ${event.name}: ${event.sentence}`];
    case 'unchecked':
      return [`  not checked: ${event.reason}`];
    case 'step':
      return [`[${event.number}/${event.of}] ${event.step}: ${event.what}`];
    case 'progress':
      return [`  ${event.sentence}`];
    case 'done':
      return [
        `  done in ${timeText(event.seconds)}`,
        ...Object.entries(event.values).map(([name, value]) => `  ${name}: ${value}`),
      ];
    case 'failed':
      return [
        `${event.step} failed: ${event.message}`,
        'What is finished is kept: fix the cause and run the same command again.',
      ];
    case 'reused':
      return [`  ${event.step}: finished ${event.finished_at} from this checkout (--again looks again)`];
    case 'planned':
      return [`  ${event.step}: ${event.what}${event.finished_at === null ? '' : ` (finished ${event.finished_at})`}`];
    case 'size':
      return [
        `  Worker: ${mib(event.total_kib)} of ${mib(event.limit_kib)}, which is what counts; ${mib(event.gzip_kib)} compressed`,
      ];
    case 'break_even': {
      const { machine, images_per_month: images, images_per_second, gpu_images_per_second, date, region } = event;
      const most = `a machine prepares ${gpu_images_per_second.toFixed(0)} a second at most`;
      const verdict =
        images === null
          ? `never the cheaper one, at these prices: it would take ${images_per_second.toFixed(0)} images a second, and ${most}`
          : `the cheaper one above ${(images / 1e6).toFixed(0)} million images a month, ${images_per_second.toFixed(0)} a second day and night; ${most}`;
      return [
        `  image encoder: $${event.cpu_usd_per_million.toFixed(2)} a million images without a GPU; one ${machine} that is kept, $${event.gpu_usd_per_month.toFixed(0)} a month, is ${verdict} (prices of ${date}, ${region})`,
      ];
    }
    case 'source':
      return [`  ${event.image}: ${event.files} files, ${event.digest}`];
    case 'stack':
      return [
        `  ${event.name}: ${event.status}${event.updated_at === undefined ? '' : `, ${event.updated_at}`}`,
        ...Object.entries(event.outputs).map(([name, value]) => `    ${name}: ${value}`),
      ];
    case 'smoke': {
      const { url, model, version, golden, least_cosine, embed_cosine } = event;
      const embedded = embed_cosine === null ? '' : `, one through POST /embed with ${embed_cosine.toFixed(6)}`;
      return [
        `  ${url}: ${model} ${version}, ${golden} golden vectors, the worst with cosine ${least_cosine.toFixed(6)}${embedded}`,
      ];
    }
    case 'deployed':
      return [
        `${event.environment} is deployed in ${timeText(event.seconds)}${event.url === null ? '' : `: ${event.url}`}`,
        `npm run train -- recipes/NAME.json --on aws --outputs ${event.outputs} trains there`,
      ];
    case 'emptied':
      return [`  ${event.bucket} is empty`];
    case 'destroyed':
      return [
        `${event.environment} is destroyed, in ${timeText(event.seconds)}. At Cloudflare the bucket of models and the namespace of keys stay: npx wrangler r2 bucket delete, npx wrangler kv namespace delete`,
      ];
  }
}

const mib = (kib: number): string => `${(kib / 1024).toFixed(1)} MiB`;

/** `42 s`, `12 min 5 s`. */
export function timeText(seconds: number): string {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
