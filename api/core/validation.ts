// A request's document against its schema; what is wrong with it in the words of our error codes: the sentence says what
// was sent, the param says where.
import type { z } from 'zod';
import type { ErrorCode } from '../../contracts/src/api/error.ts';
import { CoreError, shortened } from './errors.ts';
import { type Prepared, prepare, valueAt } from './validation/document.ts';
import { describeUnknown } from './validation/known-keys.ts';

type Issue = z.core.$ZodIssue;
type Branches = readonly (readonly Issue[])[];

/** Lists are first read up to here: millions of wrong entries would fill the memory with their issues. */
const FIRST_ENTRIES = 1024;
const GROWTH = 8;

/** Errors of a vector's length and of its types have codes of their own, whatever a door calls the field. */
const CODES: Record<string, { code: ErrorCode; isOf: (issue: Issue, value: unknown) => boolean }> = Object.fromEntries([
  ...['dimensions', 'output_dimension'].map((field) => [field, { code: 'invalid_dimensions', isOf: () => true }]),
  ...['types', 'encoding_format', 'embedding_type', 'embedding_types', 'output_dtype'].map((field) => [
    field,
    { code: 'unsupported_type', isOf: isOtherValue },
  ]),
]);
/** Lists whose entries are items, the index of which an error names. */
const ITEM_LISTS = new Set<PropertyKey>(['input', 'inputs', 'texts', 'images', 'documents', 'sentences', 'a', 'b']);
const TOKEN_IDS =
  'Token ids are not taken: send the texts, and switch off the token check of the client (in LangChain for Python: ' +
  'check_embedding_ctx_length=False).';

/** Keys whose value is null count as absent, at any depth. */
export function parseRequest<T>(schema: z.ZodType<T>, sent: unknown): T {
  for (let entries = FIRST_ENTRIES; ; entries *= GROWTH) {
    const prepared = prepare(sent, entries);
    const known = new WeakMap<readonly string[], string[]>();
    const parsed = schema.safeParse(prepared.document, { error: (issue) => noteKnownKeys(issue, known) });
    if (parsed.success && !prepared.isCut) return parsed.data;
    const issues = parsed.error?.issues.filter((issue) => !isOfCut(issue, prepared)) ?? [];
    if (issues.length > 0) throw errorOf(mostTelling({ issues, known }), { document: prepared.document, sent });
    if (!prepared.isCut) throw new CoreError('invalid_request', 'The request is invalid.');
  }
}

/** What a schema checks of a whole value may be wrong of a cut one only. */
function isOfCut({ code }: Issue, { isCut }: Prepared): boolean {
  return isCut && code === 'custom';
}

/** Sentences are made here, of the one issue that is told. A schema's own one wins over this empty one. */
function noteKnownKeys(issue: z.core.$ZodRawIssue, known: WeakMap<readonly string[], string[]>): string {
  if (issue.code === 'unrecognized_keys' && issue.inst && 'shape' in issue.inst._zod.def) {
    const shape = issue.inst._zod.def.shape as Record<string, z.core.$ZodType>;
    known.set(issue.keys, Object.keys(shape));
  }
  return '';
}

interface Found {
  issues: readonly Issue[];
  known: WeakMap<readonly string[], string[]>;
}
interface Told {
  issue: Issue;
  path: PropertyKey[];
  /** Of an unknown key: the keys that are known there. */
  known: string[];
  /** Of a key that is known where these are not: they were sent as well. */
  beside?: readonly string[] | undefined;
}

/** A key that is not known before anything else: where one is missing, it is the one that was meant. */
function mostTelling({ issues, known }: Found, prefix: PropertyKey[] = []): Told {
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  if (!issue) throw new Error('a refusal without an issue');
  const path = [...prefix, ...issue.path];
  if (issue.code === 'unrecognized_keys') return { issue, path, known: known.get(issue.keys) ?? [] };
  if (issue.code !== 'invalid_union') return { issue, path, known: [] };
  const branches = flatten(issue.errors).filter((branch) => branch.length > 0 && !isOtherKind(branch));
  const merged = unknownToAll(branches, known);
  if (merged) return { ...merged, path };
  const [best] = branches.sort((a, b) => weight(a) - weight(b) || depth(b) - depth(a));
  if (!best) return { issue, path, known: [] };
  const told = mostTelling({ issues: best, known }, path);
  return told.path.length === path.length ? { ...told, beside: excluding(told.issue, branches) } : told;
}

/** The keys of the same object that a branch does not know which knows those of the issue. */
function excluding(told: Issue, branches: Branches): readonly string[] | undefined {
  if (told.code !== 'unrecognized_keys') return undefined;
  const others = branches
    .flat()
    .flatMap((issue) => (issue.code === 'unrecognized_keys' && issue.path.length === 0 ? [issue.keys] : []));
  return others.find((keys) => !told.keys.some((key) => keys.includes(key)));
}

/** With the branches of a union inside of the union in its place. */
function flatten(branches: Branches): (readonly Issue[])[] {
  return branches.flatMap((branch) => {
    const [only] = branch;
    return only?.code === 'invalid_union' && only.path.length === 0 ? flatten(only.errors) : [branch];
  });
}

/** True where a branch of a union refuses the value as a whole: it is a list and not an object, say. */
function isOtherKind([first]: readonly Issue[]): boolean {
  if (!first || first.path.length > 0) return false;
  return first.code === 'invalid_type' || first.code === 'invalid_value';
}

/** Keys of an object that no branch knows, with what the branches know. */
function unknownToAll(branches: Branches, known: Found['known']): Omit<Told, 'path'> | undefined {
  const issues = branches.map((branch) =>
    branch.find((issue) => issue.code === 'unrecognized_keys' && issue.path.length === 0),
  );
  const unknown = issues.filter((issue) => issue?.code === 'unrecognized_keys');
  const [issue] = unknown;
  if (!issue || unknown.length < issues.length) return undefined;
  const all = new Set(unknown.flatMap(({ keys }) => known.get(keys) ?? []));
  const keys = issue.keys.filter((key) => !all.has(key));
  return keys.length > 0 ? { issue: { ...issue, keys }, known: [...all] } : undefined;
}

/** How far a value is from what a branch takes: its issues, every unknown key counted. */
function weight(issues: readonly Issue[]): number {
  return issues.reduce((sum, issue) => sum + (issue.code === 'unrecognized_keys' ? issue.keys.length : 1), 0);
}

function depth(issues: readonly Issue[]): number {
  return issues.reduce((deepest, { path }) => Math.max(deepest, path.length), 0);
}

/** `sent`: the whole of what `document` may be a piece of. */
function errorOf(
  { issue, path, known, beside }: Told,
  { document, sent: whole }: { document: unknown; sent: unknown },
): CoreError {
  const [field = '', index] = path;
  const item = ITEM_LISTS.has(field) && typeof index === 'number' ? { item: index } : {};
  const place = path.length === 0 ? 'The body' : path.map((part) => shortened(String(part))).join('.');
  if (issue.code === 'unrecognized_keys') {
    const inner = [...path, issue.keys[0] ?? ''].join('.');
    if (beside) {
      const message = `${place} has ${listed([...beside, ...issue.keys.map((key) => shortened(key))], 'and')}, which are not taken together.`;
      return new CoreError('invalid_request', message, { ...item, param: inner });
    }
    const what = issue.keys.length === 1 ? 'a key that is not known' : 'keys that are not known';
    const sent = Object.keys(Object(valueAt(document, path)));
    const message = `${place} has ${what} here: ${describeUnknown(issue.keys, known, sent)}`;
    return new CoreError('unknown_key', message, { ...item, param: inner });
  }
  // Keys that are null are absent, and a list that was cut has more entries than were read.
  const read = valueAt(document, path);
  const value = Array.isArray(read) ? valueAt(whole, path) : read;
  const { code, problem } = problemOf(issue, value, path);
  const own = CODES[String(field)];
  const details = path.length === 0 ? {} : { ...item, param: path.join('.') };
  return new CoreError(own?.isOf(issue, value) ? own.code : code, `${place} ${problem}`, details);
}

/** The rest of the sentence that begins with the place. */
function problemOf(issue: Issue, value: unknown, path: PropertyKey[]): { code: ErrorCode; problem: string } {
  const isUnion = issue.code === 'invalid_union' && issue.errors.length > 0;
  const isOfType = issue.code === 'invalid_type' || isUnion;
  if (value === undefined && (isOfType || issue.code === 'invalid_value')) {
    const taken = issue.code === 'invalid_value' ? `: it is ${listed(issue.values.map(String))}` : '';
    return { code: 'invalid_request', problem: `is missing${taken}.` };
  }
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) {
    return { code: 'wrong_type', problem: 'is not finite: the number is too large.' };
  }
  if (isOfType) {
    const expected = expectedBy(issue);
    const told = issue.message || `must be ${listed(expected)}`;
    if (isOtherValue(issue, value)) return { code: 'invalid_request', problem: `${told}; not ${show(value)}.` };
    const isText = issue.message !== '' || expected.includes(KINDS.string ?? '');
    const hint = hintAt(value, path, { isText });
    const sent = typeof value === 'number' && expected.includes(KINDS.int ?? '') ? String(value) : kind(value);
    return { code: 'wrong_type', problem: `${told}, not ${sent}.${hint}` };
  }
  if (issue.code === 'too_small' && issue.origin === 'array' && issue.minimum === 1) {
    return { code: 'empty_input', problem: 'is an empty list.' };
  }
  return { code: 'invalid_request', problem: valueProblem(issue, value) };
}

/** A value that is not among those taken, of a type that some of them have. */
function isOtherValue(issue: Issue, value: unknown): boolean {
  if (issue.code === 'invalid_value') return true;
  if (issue.code !== 'invalid_union') return false;
  return issue.errors.some(([first]) => first?.code === 'invalid_value' && typeof first.values[0] === typeof value);
}

function valueProblem(issue: Issue, value: unknown): string {
  switch (issue.code) {
    case 'invalid_value':
      return `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.join(', ')}; not ${show(value)}.`;
    case 'invalid_union':
      return `must be one of ${'options' in issue ? issue.options?.join(', ') : 'those of its kind'}; not ${show(value)}.`;
    case 'too_small':
      return boundProblem(issue.origin, `${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`, value);
    case 'too_big':
      return boundProblem(issue.origin, `${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`, value);
    case 'invalid_format':
      return `must be ${issue.message || `of the form ${issue.pattern ?? issue.format}`}; not ${show(value)}.`;
    default:
      return `is not taken: ${issue.message || issue.code.replaceAll('_', ' ')}.`;
  }
}

function boundProblem(origin: string, bound: string, value: unknown): string {
  if (Array.isArray(value)) return `must hold ${bound} entries; ${value.length} were sent.`;
  if (typeof value === 'string' && origin === 'string')
    return `must have ${bound} characters; ${value.length} were sent.`;
  return origin === 'array' || origin === 'string' ? `must be ${bound} long.` : `must be ${bound}; not ${show(value)}.`;
}

/** What else helps: an entry cannot be left out by null, and numbers in the place of a text are token ids. */
function hintAt(value: unknown, path: PropertyKey[], { isText }: { isText: boolean }): string {
  const isEntry = typeof path.at(-1) === 'number';
  if (value === null && isEntry) return ' Leave the entry out: null stands for what is absent in objects only.';
  const [first] = Array.isArray(value) ? value : [value];
  return isText && isEntry && typeof first === 'number' && Number.isInteger(first) && first >= 0 ? ` ${TOKEN_IDS}` : '';
}

/** Names of the JSON types, with their articles. */
const KINDS: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'an object',
  record: 'an object',
  null: 'null',
};

function expectedBy(issue: Issue): string[] {
  if (issue.code === 'invalid_type') return [KINDS[issue.expected] ?? issue.expected];
  if (issue.code === 'invalid_value') return issue.values.map(show);
  return issue.code === 'invalid_union'
    ? [...new Set(issue.errors.flatMap((branch) => branch.flatMap(expectedBy)))]
    : [];
}

function listed(names: string[], word = 'or'): string {
  const last = names.at(-1) ?? 'of another type';
  return names.length > 1 ? `${names.slice(0, -1).join(', ')} ${word} ${last}` : last;
}

function kind(value: unknown): string {
  if (value === null) return 'null';
  if (!Array.isArray(value)) return KINDS[typeof value] ?? typeof value;
  const [first] = value;
  return typeof first === 'number' ? 'a list of numbers' : 'a list';
}

function show(value: unknown): string {
  return shortened(JSON.stringify(sketch(value)) ?? 'nothing');
}

/** Entries of a list, and lists inside of lists: a sentence has no room for more, and what is nested without end overflows the stack. */
const SHOWN = 64;

function sketch(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth === SHOWN) return null;
  if (Array.isArray(value)) return value.slice(0, SHOWN).map((entry) => sketch(entry, depth + 1));
  const members = Object.entries(value).slice(0, SHOWN);
  return Object.fromEntries(members.map(([key, entry]) => [key, sketch(entry, depth + 1)]));
}
