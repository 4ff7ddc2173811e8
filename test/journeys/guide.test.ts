// The lines of docs/guide.md, typed into a shell at the root of the repository.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  TeiEmbedResponse,
  TeiRerankResponse,
  TeiSimilarityResponse,
  ZeroShotResponse,
} from '../../contracts/src/api/doors/tei.ts';
import { EmbedResponse, PartialEmbedResponse } from '../../contracts/src/api/embed.ts';
import { SimilarityResponse } from '../../contracts/src/api/similarity.ts';
import { ClassifyResponse } from '../../contracts/src/api/tasks/classify.ts';
import { DryRunResponse } from '../../contracts/src/api/tasks/dry-run.ts';
import { TokenizeResponse } from '../../contracts/src/api/tasks/tokenize.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';

const ROOT = join(import.meta.dirname, '../..');
const GUIDE = readFileSync(join(ROOT, 'docs/guide.md'), 'utf8');

let server: LocalServer;
beforeAll(async () => {
  server = await startLocalServer();
}, 120_000);
afterAll(() => server?.stop());

/** What the commands below a heading print, one document each, however many lines a command has. */
async function answersBelow(heading: string): Promise<unknown[]> {
  const section = GUIDE.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  const commands = [...section.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block = '']) =>
    block.split(/^(?=curl )/m),
  );
  expect(commands.length, heading).toBeGreaterThan(0);
  const answers: unknown[] = [];
  for (const command of commands) {
    const line = command.replaceAll('http://127.0.0.1:8787', server.url);
    const { stdout } = await promisify(execFile)('bash', ['-c', line], { cwd: ROOT, maxBuffer: 2 ** 26 });
    answers.push(JSON.parse(stdout));
  }
  return answers;
}

test('encode: texts and files, in their order', async () => {
  const [texts, form] = (await answersBelow('Encode')).map((answer) => EmbedResponse.parse(answer));
  expect(texts?.data.map(({ type }) => type)).toEqual(['base64', 'base64']);
  expect(form?.data.map(({ modality }) => modality)).toEqual(['text', 'image']);
  expect(form?.dimensions).toBe(64);
});

test('several parts, bad items: one vector of both, and an error in its place', async () => {
  const [fused, partial] = await answersBelow('Several parts, bad items');
  expect(EmbedResponse.parse(fused).data.map(({ modality }) => modality)).toEqual(['mixed']);
  expect(PartialEmbedResponse.parse(partial).data.map(({ object }) => object)).toEqual(['embedding', 'error']);
});

test('search and rank: the husky first', async () => {
  const [answer] = (await answersBelow('Search and rank')).map((each) => SimilarityResponse.parse(each));
  const hits = answer?.mode === 'top_k' ? answer.results[0] : [];
  expect(hits?.map(({ index }) => index)[0]).toBe(1);
  expect(hits).toHaveLength(2);
  expect(hits?.[0]?.probability).toBeGreaterThan(hits?.[1]?.probability ?? 1);
});

test('classify: a photo by names, texts by sentences', async () => {
  const [photo, texts] = (await answersBelow('Classify')).map((each) => ClassifyResponse.parse(each));
  expect(photo?.data[0]?.prediction).toBe('cat');
  expect(texts?.data.map(({ predictions }) => predictions[0]?.label)).toEqual(['delivery', 'refund']);
  for (const { predictions, none_of_these } of texts?.data ?? []) {
    const sum = predictions.reduce((total, { score }) => total + score, none_of_these ?? Number.NaN);
    expect(sum).toBeCloseTo(1, 6);
  }
});

test('who encodes images: the one encoder that there is', async () => {
  const [answer] = (await answersBelow('Who encodes images')).map((each) => EmbedResponse.parse(each));
  expect(answer?.routing).toEqual({ route: 'lambda_cpu', reason: 'only_one' });
});

test('uploads: a file that is put first, and named then', async () => {
  const section = GUIDE.split(/^## /m).find((part) => part.startsWith('Uploads\n')) ?? '';
  const [, block = ''] = /^```sh\n([\s\S]*?)^```/m.exec(section) ?? [];
  const lines = block.replaceAll('http://127.0.0.1:8787', server.url);
  const { stdout } = await promisify(execFile)('bash', ['-c', lines], { cwd: ROOT, maxBuffer: 2 ** 26 });
  const { data } = EmbedResponse.parse(JSON.parse(stdout));
  expect(data.map(({ picture }) => picture?.type)).toEqual(['jpeg']);
});

test('tokens: their places are those of Python', async () => {
  const [answer] = (await answersBelow('Tokens')).map((each) => TokenizeResponse.parse(each));
  const text = [...'ein Hund läuft'];
  for (const token of answer?.data[0]?.tokens.filter(({ special }) => !special) ?? []) {
    expect(text.slice(token.start ?? -1, token.end ?? -1).join('')).toBe(token.text);
  }
});

test('asking twice, asking first: nothing new, and tokens as /embed then counts them', async () => {
  const [again, first] = await answersBelow('Asking twice, asking first');
  expect(again).toEqual({ status: 304 });
  const { usage, items } = DryRunResponse.parse(first);
  const response = await fetch(`${server.url}/embed`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: ['a dog running through snow', 'ein Hund'] }),
  });
  const answer = EmbedResponse.parse(await response.json());
  expect(usage.total_tokens).toBe(answer.usage.total_tokens);
  expect(items.map(({ truncation }) => truncation)).toEqual(answer.data.map(({ truncation }) => truncation));
});

test("Text Embeddings Inference's bodies: bare lists", async () => {
  const [vectors, cosines, labels, ranks] = await answersBelow('The bodies of Text Embeddings Inference');
  expect(TeiEmbedResponse.parse(vectors)).toHaveLength(2);
  const [dog = 0, boat = 1] = TeiSimilarityResponse.parse(cosines);
  expect(dog).toBeGreaterThan(boat);
  expect(ZeroShotResponse.parse(labels)[0]?.label).toBe('cat');
  expect(TeiRerankResponse.parse(ranks)[0]?.index).toBe(1);
});
