// `npm run conformance`: the client libraries that people have, each configured as its documentation says, against this service.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { ModelList } from '../../contracts/src/api/models.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { makeKeyFile } from '../support/key-file.ts';
import { startLocalServer } from '../support/local-server.ts';
import { CASE_NAMES, type CaseName, type Expected, judge, type Material } from './cases.ts';
import { startChild } from './child.ts';
import { type Client, idOf } from './client.ts';
import { commandOf, versionOf } from './install.ts';
import { type RecordingProxy, startProxy } from './proxy.ts';
import { type Result, tableOf, totalOf, writeDocs } from './report.ts';
import { CLIENTS } from './table.ts';

const HELP = `Usage: npm run conformance [-- --only CLIENT] [--json] [--write-docs]

Installs the client libraries of test/clients at their pinned versions (once; Python needs about 1 GB), starts the service
on a free port and has every client embed, be refused, be told to wait and list models, each configured as its documentation
says. Vectors are compared with those of POST /embed. Nothing but 127.0.0.1 is reached by the clients.
  --only CLIENT  those whose name contains this, such as openai or python:litellm; several separated by commas
  --json         the results as one JSON object
  --write-docs   writes docs/clients.md from the results; takes all clients
  --help         this text
  --version      name and version

Exit codes: 0 all cases passed, 1 some failed, 2 refused before anything ran.
`;
const OPTIONS = {
  only: { type: 'string' },
  json: { type: 'boolean' },
  'write-docs': { type: 'boolean' },
} as const;

const WRONG_KEY = 'ec_nobody-has-this-key';
const SAMPLE = join(import.meta.dirname, '../../api/playground/samples/cat.jpg');
const MATERIAL: Omit<Material, 'image'> = {
  text: 'a dog running through snow',
  texts: ['a dog running through snow', 'two children on a beach', 'ein rotes Auto', 'a dog running through snow'],
  dimensions: 256,
  query: 'a dog in winter',
  documents: ['a red car in the city', 'a husky runs through snow', 'people at a table', 'a puppy plays in the garden'],
};

async function main({ values }: CommandLine<typeof OPTIONS>): Promise<number> {
  const chosen = choose(values.only);
  if (values['write-docs'] && values.only) throw new UserError('--write-docs takes all clients: leave --only out');
  const note = (what: string) => console.error(what);
  const keys = await makeKeyFile();
  const key = keys.secrets.good;
  const server = await startLocalServer({ keys: keys.file, requireKeys: true, onEvent: () => {} });
  const proxy = await startProxy(server.url);
  const home = mkdtempSync(join(tmpdir(), 'clients-'));
  const results: Result[] = [];
  try {
    const material = { ...MATERIAL, image: `data:image/jpeg;base64,${readFileSync(SAMPLE).toString('base64')}` };
    const expected = await expectedOf({ url: server.url, key }, material);
    for (const client of chosen) await commandOf(client, note);
    const began = performance.now();
    for (const [at, client] of chosen.entries()) {
      results.push(await tryClient(client, { proxy, key, material, expected, home }));
      const left = ((performance.now() - began) / (at + 1)) * (chosen.length - at - 1);
      note(`${at + 1}/${chosen.length} ${idOf(client)}: ${summaryOf(results.at(-1))}, ${inWords(left)} left`);
    }
  } finally {
    await Promise.all([proxy.stop(), server.stop()]);
    keys.remove();
    rmSync(home, { recursive: true, force: true });
  }
  if (values['write-docs']) note(`wrote ${writeDocs(results)}`);
  console.log(values.json ? JSON.stringify(results, null, 2) : tableOf(results));
  return totalOf(results).failed === 0 ? 0 : 1;
}

function choose(only: string | undefined): readonly Client[] {
  if (only === undefined) return CLIENTS;
  const wanted = only.split(',').map((name) => name.trim());
  const known = (client: Client) => [idOf(client), client.package];
  const found = CLIENTS.filter((client) => wanted.some((name) => known(client).some((own) => own.includes(name))));
  if (found.length > 0) return found;
  throw new UserError(`--only ${only}: there are ${CLIENTS.map(idOf).join(', ')}`);
}

interface Service {
  url: string;
  key: string;
}

/** From the own interface, straight from the service. */
async function expectedOf({ url, key }: Service, material: Material): Promise<Expected> {
  const post = async (path: string, body: object) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` };
    return (await fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).json();
  };
  const embed = async (input: unknown[], options: object = {}) =>
    EmbedResponse.parse(await post('/embed', { input, ...options })).data.map(({ embedding }) => embedding as number[]);
  const { text, texts, dimensions, image, query, documents } = material;
  const models = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  const { scores } = (await post('/similarity', { a: query, b: documents })) as { scores: number[][] };
  const order = documents.map((_, index) => index).sort((a, b) => (scores[0]?.[b] ?? 0) - (scores[0]?.[a] ?? 0));
  const [[single = []] = [], [picture = []] = []] = [await embed([text]), await embed([{ image }])];
  return {
    single,
    list: await embed(texts),
    dimensions: await embed(texts, { dimensions }),
    types: await embed(texts, { types: ['int8'] }),
    image: picture,
    rerank: order,
    models: ModelList.parse(await models.json()).data.map(({ id }) => id),
  };
}

interface Trial {
  proxy: RecordingProxy;
  /** That the service knows. */
  key: string;
  material: Material;
  expected: Expected;
  home: string;
}

async function tryClient(client: Client, { proxy, key: known, material, expected, home }: Trial): Promise<Result> {
  const child = startChild(await commandOf(client, () => {}), client, { cwd: home, home });
  const [model = ''] = expected.models;
  const place = (line: string): string =>
    line
      .replaceAll('http://127.0.0.1:8787', proxy.url)
      .replaceAll('YOUR-KEY', known)
      .replaceAll('edge-clip-small', model);
  const isMissing = (name: CaseName): boolean => client.cannot[name] !== undefined;
  const cases: Result['cases'] = {};
  try {
    for (const name of CASE_NAMES.filter((each) => !isMissing(each))) {
      const key = name === 'key' ? WRONG_KEY : known;
      const task = {
        ...material,
        case: name,
        url: proxy.url,
        key,
        model,
        lines: client.lines.map(place),
        vector: client.vector,
      };
      if (name === 'error')
        Object.assign(task, client.mistake === 'text' ? { texts: [''] } : { model: 'no-such-model' });
      proxy.reset({ isBusy: name === 'busy' });
      const answer = await child.ask(task);
      cases[name] = judge(name, { answer, exchanges: proxy.seen(), key }, expected) ?? 'passed';
    }
  } finally {
    child.stop();
  }
  return { client, version: versionOf(client), cases };
}

function summaryOf(result: Result | undefined): string {
  if (!result) return '';
  const { passed, failed } = totalOf([result]);
  return failed === 0 ? `${passed} passed` : `${passed} passed, ${failed} FAILED`;
}

function inWords(ms: number): string {
  return ms < 90_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`;
}

if (import.meta.main) await runCommand({ help: HELP, options: OPTIONS }, main);
