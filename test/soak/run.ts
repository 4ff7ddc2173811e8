// `npm run soak`: the server of `npm start` under load, bad clients and long requests, against limits, in one run.
import { availableParallelism, cpus, loadavg } from 'node:os';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { startLocal } from '../../api/dev/local.ts';
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { numberOf } from '../../contracts/command/numbers.ts';
import type { LimitsReport } from '../../contracts/src/api/limits.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { childrenNamed } from '../bench/process.ts';
import { createClient } from './load.ts';
import { type Outcome, type Scenario, scenarios, type Target } from './scenarios.ts';

const HELP = `Usage: npm run soak [-- --minutes N] [--only WORD] [--json]

Starts the server on a free port of 127.0.0.1 and puts load on it: a steady one, five times too much, clients that go
away, requests at the limit of tokens beside small ones, and hours if you like. Prints what was wanted, what was measured
and whether it passed; exit code 1 if anything did not. Figures mean little while the machine does other work: ratios
compare within a run. Ctrl-C ends it in order. Reads /proc: Linux.

  --minutes N  how long memory is watched (default 30, at most 600)
  --only WORD  only scenarios whose name contains WORD
  --json       one JSON document instead of lines
`;
const OPTIONS = {
  minutes: { type: 'string', default: '30' },
  only: { type: 'string', default: '' },
  json: { type: 'boolean' },
} as const;
const MINUTES = { from: 0.01, to: 600 };
/** WebAssembly is compiled again, better, while it runs. */
const WARM_UP = 150;

type Result = Outcome & { name: string };

async function main({ values }: CommandLine<typeof OPTIONS>): Promise<number> {
  const minutes = numberOf('--minutes', values.minutes, MINUTES);
  const chosen = scenarios(minutes).filter(({ name }) => name.includes(values.only));
  if (chosen.length === 0) throw new UserError(`--only ${values.only}: no scenario's name contains it`);
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  const load_before = loadavg()[0];
  const results = await soak(chosen, stopping.signal, values.json ? () => {} : print);
  const machine = { cpu: cpus()[0]?.model, cores: availableParallelism(), load: [load_before, loadavg()[0]] };
  if (values.json) console.log(JSON.stringify({ date: new Date().toISOString(), machine, results }, null, 2));
  else console.log(`${results.filter(({ passed }) => passed).length} of ${chosen.length} passed; load ${machine.load}`);
  if (stopping.signal.aborted) return 130;
  return results.every(({ passed }) => passed) ? 0 : 1;
}

async function soak(chosen: Scenario[], signal: AbortSignal, onResult: (result: Result) => void): Promise<Result[]> {
  const local = await startLocal({ model: EMBEDDED_MODEL, port: 0 });
  const client = createClient(local.url);
  const results: Result[] = [];
  try {
    const [pid] = childrenNamed('workerd');
    if (pid === undefined) throw new Error('there is no workerd among the child processes');
    const target: Target = { url: local.url, pid, client, signal, ...(await modelsOf(local.url)) };
    for (let i = 0; i < WARM_UP && !signal.aborted; i++) {
      for (const model of Object.values(target.models)) await client.post({ input: `a dog ${i}`, model });
    }
    let left = chosen.reduce((sum, { seconds }) => sum + seconds, 0);
    for (const scenario of chosen) {
      if (signal.aborted) break;
      process.stderr.write(`${scenario.name}: about ${scenario.seconds} s, ${Math.ceil(left / 60)} min left in all\n`);
      const outcome = await scenario.run(target);
      left -= scenario.seconds;
      // What was cut short says nothing.
      if (signal.aborted) break;
      const result = { name: scenario.name, ...outcome };
      results.push(result);
      onResult(result);
    }
    return results;
  } finally {
    client.close();
    await local.stop();
  }
}

async function modelsOf(url: string): Promise<Pick<Target, 'models' | 'context'>> {
  const { models } = (await (await fetch(`${url}/v1/limits`)).json()) as LimitsReport;
  const of = (wanted: string) => models.find(({ tier }) => tier === wanted)?.id ?? '';
  return { models: { student: of('student'), static: of('static') }, context: models[0]?.context_length ?? 0 };
}

function print({ name, passed, wanted, figures }: Result): void {
  console.log(`${passed ? 'pass' : 'FAIL'}  ${name}\n      wanted: ${wanted}`);
  for (const [key, value] of Object.entries(figures)) console.log(`      ${key}: ${value}`);
}

await runCommand({ help: HELP, options: OPTIONS }, main);
