// The cases that every client is asked, and how its answer is checked against the own interface's vectors.
import type { Exchange } from './proxy.ts';

export const CASES = {
  documented: 'the lines of docs/clients.md, as they are',
  single: 'one text',
  list: 'several texts, in their order',
  base64: 'vectors on the wire as base64',
  float: 'vectors on the wire as numbers',
  dimensions: 'shorter vectors',
  types: 'vectors of int8',
  image: 'an image',
  rerank: 'documents in the order of their relevance',
  error: 'an error that shows the sentence of the service',
  key: 'a key that is not known: the sentence of the service',
  busy: '429 with Retry-After: it waits and succeeds',
  models: 'the list of models',
} as const;
export type CaseName = keyof typeof CASES;
export const CASE_NAMES = Object.keys(CASES) as CaseName[];

/** What the cases are about; a client is given all of it. */
export interface Material {
  text: string;
  texts: string[];
  dimensions: number;
  /** Data URI of a JPEG. */
  image: string;
  query: string;
  documents: string[];
}

/** What the own interface answers to the same. */
export interface Expected {
  single: number[];
  list: number[][];
  dimensions: number[][];
  types: number[][];
  image: number[];
  /** Indices of the documents, the best first. */
  rerank: number[];
  models: string[];
}

export type Answer = { value: unknown } | { error: string };
/** `exchanges`: what went over the wire for it. */
export interface Outcome {
  answer: Answer;
  exchanges: Exchange[];
  key: string;
}

/** float32 values as decimal numbers, read again: the last digit may differ. */
const TOLERANCE = 1e-6;
/** Clients spread their waits by up to a tenth. */
const SHORTEST_WAIT_MS = 900;

/** Undefined where the outcome is right, else what is wrong with it. */
export function judge(name: CaseName, { answer, exchanges, key }: Outcome, expected: Expected): string | undefined {
  if (exchanges.length === 0) return 'error' in answer ? `nothing was sent: ${answer.error}` : 'nothing was sent';
  const keyless = exchanges.find(({ authorization }) => authorization !== `Bearer ${key}`);
  if (keyless) return `sent ${keyless.method} ${keyless.path} without its key`;
  if (name === 'error' || name === 'key') return judgeError(answer, exchanges);
  if ('error' in answer) return answer.error;
  return judgeWire(name, exchanges) ?? judgeValue(name, answer.value, expected);
}

function judgeError(answer: Answer, exchanges: Exchange[]): string | undefined {
  if ('value' in answer) return 'it took an error for an answer';
  const { status = 0, reply = '' } = exchanges.at(-1) ?? {};
  if (status < 400) return `the last answer was ${status}`;
  const { detail } = JSON.parse(reply) as { detail: string };
  const inJson = JSON.stringify(detail).slice(1, -1);
  return answer.error.includes(detail) || answer.error.includes(inJson)
    ? undefined
    : `shows ${JSON.stringify(answer.error)}, not ${JSON.stringify(detail)}`;
}

function judgeWire(name: CaseName, exchanges: Exchange[]): string | undefined {
  if (name === 'busy') {
    const [first, second] = exchanges.filter(({ method }) => method === 'POST');
    if (first?.status !== 429) return 'it was not told to wait';
    if (!second) return 'it did not try again';
    const waited = Math.round(second.at - first.at);
    return waited >= SHORTEST_WAIT_MS ? undefined : `it waited ${waited} ms where Retry-After said 1000`;
  }
  if (name === 'base64' && !exchanges.some(asksForBase64)) return 'it did not ask for base64';
  if (name === 'float' && exchanges.some(asksForBase64)) return 'it asked for base64';
  return undefined;
}

function asksForBase64({ body }: Exchange): boolean {
  const keys = ['encoding_format', 'embedding_type', 'embedding_types', 'output_encoding', 'encoding_type'];
  return keys.some((key) => [body?.[key]].flat().includes('base64'));
}

function judgeValue(name: CaseName, value: unknown, expected: Expected): string | undefined {
  switch (name) {
    case 'documented':
    case 'single':
      return compareVectors([value], [expected.single]);
    case 'list':
    case 'base64':
    case 'float':
    case 'busy':
      return compareVectors(value, expected.list);
    case 'dimensions':
      return compareVectors(value, expected.dimensions);
    case 'types':
      return compareVectors(value, expected.types);
    case 'image':
      return compareVectors([value], [expected.image]);
    case 'rerank':
      return compareLists(value, expected.rerank);
    case 'models':
      return compareLists(value, expected.models);
    case 'error':
    case 'key':
      return undefined;
  }
}

function compareLists(value: unknown, wanted: readonly (string | number)[]): string | undefined {
  const [got, want] = [JSON.stringify(value), JSON.stringify(wanted)];
  return got === want ? undefined : `${got} where ${want} is right`;
}

function compareVectors(value: unknown, wanted: number[][]): string | undefined {
  if (!Array.isArray(value) || value.length !== wanted.length) {
    return `${show(value)} where ${wanted.length} vectors were asked for`;
  }
  for (const [index, want] of wanted.entries()) {
    const got: unknown = value[index];
    if (!Array.isArray(got) || got.length !== want.length) {
      return `vector ${index} is ${show(got)}, not ${want.length} numbers`;
    }
    const off = Math.max(...want.map((number, i) => Math.abs(number - Number(got[i] ?? Number.NaN))));
    if (!(off <= TOLERANCE)) return `vector ${index} is off by ${off}`;
  }
  return undefined;
}

function show(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return (JSON.stringify(value) ?? 'nothing').slice(0, 120);
}
