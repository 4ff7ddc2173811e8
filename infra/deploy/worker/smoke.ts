// Asks a deployed Worker what it computes: its own golden vectors, and one of the embedded model's through the API.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { EmbedResponse } from '../../../contracts/src/api/embed.ts';
import { ModelList, ReadyReport } from '../../../contracts/src/api/models.ts';
import { FILES } from '../../../contracts/src/keys.ts';
import { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import type { RunProgram } from '../programs.ts';

/** The command `npm run keys`. */
const KEYS = join('api', 'keys', 'keys.ts');
/** A new address is known, and a new key is read, within this time. */
const PATIENCE_MS = 120_000;
const PAUSE_MS = 3_000;

export interface SmokeOptions {
  url: string;
  /** The repository, for the embedded model. */
  root: string;
  /** An API key; undefined: only what anybody may ask is asked. */
  key: string | undefined;
  stop: AbortSignal;
  patienceMs?: number;
}

export interface SmokeReport {
  model: string;
  version: string;
  /** Golden vectors that the Worker computed again, and the least cosine among them. */
  golden: number;
  least_cosine: number;
  /** Of a golden text through POST /embed; null where that was not asked, or another model answers than the embedded one. */
  embed_cosine: number | null;
}

/** Throws a UserError that says what answered wrongly. */
export async function smoke(options: SmokeOptions): Promise<SmokeReport> {
  const { url, root, key } = options;
  const ready = await asked(ReadyReport, `${url}/health/ready`, options);
  const failed = ready.golden.filter(({ cosine, min_cosine }) => !(cosine >= min_cosine));
  if (failed.length > 0) throw new UserError(`${url} computes other vectors: ${JSON.stringify(failed)}`);
  const manifest = ModelManifest.parse(JSON.parse(readFileSync(join(root, 'api', 'model', FILES.manifest), 'utf8')));
  const isEmbedded = manifest.space_id === ready.space_id && manifest.version === ready.version;
  return {
    model: ready.model,
    version: ready.version,
    golden: ready.golden.length,
    least_cosine: Math.min(...ready.golden.map(({ cosine }) => cosine)),
    embed_cosine: key === undefined || !isEmbedded ? null : await embedCosine(manifest, options),
  };
}

/** The first golden text through the API, as a client asks it. */
async function embedCosine({ golden: [golden] }: ModelManifest, options: SmokeOptions): Promise<number | null> {
  if (golden === undefined) return null;
  const { url } = options;
  const models = await asked(ModelList, `${url}/v1/models`, options);
  const model = models.data.find(({ tier }) => tier === golden.tier)?.id;
  const answer = await asked(EmbedResponse, `${url}/embed`, { ...options, body: { input: [golden.text], model } });
  const vector = z.array(z.number()).safeParse(answer.data[0]?.embedding).data ?? [];
  const cosine = cosineOf(vector, golden.embedding);
  if (cosine >= golden.min_cosine) return cosine;
  throw new UserError(`${url}/embed answers with another vector: cosine ${cosine}, ${golden.min_cosine} is needed`);
}

interface Question extends Pick<SmokeOptions, 'key' | 'stop' | 'patienceMs'> {
  /** Of a POST; without it, GET. */
  body?: object;
}

/** The answer's document. What a new deployment answers at first (no such host, no such key, not there) is asked again. */
async function asked<T extends z.ZodType>(document: T, url: string, question: Question): Promise<z.infer<T>> {
  const { stop, patienceMs = PATIENCE_MS } = question;
  const until = Date.now() + patienceMs;
  for (;;) {
    let reason: string;
    try {
      const response = await fetch(url, requestOf(question));
      const text = await response.text();
      const answer = response.ok ? document.safeParse(JSON.parse(text)) : undefined;
      if (answer?.success === true) return answer.data;
      reason = `${response.status}: ${text.slice(0, 500)}`;
    } catch (error) {
      if (stop.aborted) throw new UserError('interrupted: run the same command again');
      reason = error instanceof Error ? String(error.cause ?? error.message) : String(error);
    }
    if (Date.now() > until) throw new UserError(`${url} does not answer as it should. It said ${reason}`);
    await new Promise((wake) => setTimeout(wake, Math.min(PAUSE_MS, patienceMs / 4)));
  }
}

function requestOf({ key, stop, body }: Question): RequestInit {
  const headers = {
    'content-type': 'application/json',
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
  };
  return { signal: stop, headers, ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }) };
}

function cosineOf(one: readonly number[], other: readonly number[]): number {
  const sum = (of: (at: number) => number): number => other.reduce((total, _, at) => total + of(at), 0);
  const dot = sum((at) => (one[at] ?? Number.NaN) * (other[at] ?? Number.NaN));
  return dot / Math.sqrt(sum((at) => (one[at] ?? 0) ** 2) * sum((at) => (other[at] ?? 0) ** 2));
}

/** A key of the environment's namespace that lives for a day: made before the question and revoked after it. */
export async function withKey<T>(
  worker: string,
  run: RunProgram,
  work: (key: string | undefined) => Promise<T>,
): Promise<T> {
  const namespace = await namespaceOf(worker, run);
  if (namespace === undefined) return work(undefined);
  const keys = (...args: string[]) =>
    run('node', [KEYS, ...args, '--kv', '--namespace-id', namespace, '--json'], { secret: true });
  const made = z
    .object({ key: z.string(), prefix: z.string() })
    .parse(JSON.parse(await keys('create', '--name', 'check of a deployment', '--scope', 'embed', '--expires', '1d')));
  try {
    return await work(made.key);
  } finally {
    await keys('revoke', made.prefix);
  }
}

/** wrangler names a namespace that it makes by the Worker and the binding. */
async function namespaceOf(worker: string, run: RunProgram): Promise<string | undefined> {
  const all = z
    .array(z.object({ id: z.string(), title: z.string() }))
    .parse(JSON.parse(await run('wrangler', ['kv', 'namespace', 'list'])));
  return all.find(({ title }) => title === `${worker}-keys`)?.id;
}
