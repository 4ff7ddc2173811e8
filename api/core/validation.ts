// Schema issues in the words of our error codes: the sentence says what was sent, the param says where.
import type { z } from 'zod';
import { EmbeddingType } from '../../contracts/src/api/embed.ts';
import type { ErrorCode } from '../../contracts/src/api/error.ts';
import { CoreError } from './errors.ts';

type Issue = z.core.$ZodIssue;

export function parseRequest<T>(schema: z.ZodType<T>, document: unknown): T {
  const parsed = schema.safeParse(document);
  if (parsed.success) return parsed.data;
  const [first] = parsed.error.issues;
  if (!first) throw new CoreError('invalid_request', 'The request is invalid.');
  throw errorOf(mostTelling(first, []), document);
}

/** A union's issue is that of the branch that the value nearly is: one not refused at its root, with fewest issues. */
function mostTelling(issue: Issue, prefix: PropertyKey[]): Issue {
  const path = [...prefix, ...issue.path];
  if (issue.code !== 'invalid_union') return { ...issue, path };
  const branches = issue.errors.filter(
    ([first]) => first && !(first.path.length === 0 && first.code === 'invalid_type'),
  );
  const [best] = branches.sort((a, b) => a.length - b.length || depth(b) - depth(a));
  const unknown = best?.find(({ code }) => code === 'unrecognized_keys');
  const chosen = unknown ?? best?.[0];
  return chosen ? mostTelling(chosen, path) : { ...issue, path };
}

function depth(issues: Issue[]): number {
  return Math.max(...issues.map(({ path }) => path.length));
}

function errorOf(issue: Issue, document: unknown): CoreError {
  const param = issue.path.join('.');
  const [field] = issue.path;
  const item = issue.path.find((part) => typeof part === 'number');
  const details = { ...(param ? { param } : {}), ...(field === 'input' && item !== undefined ? { item } : {}) };
  const value = valueAt(document, issue.path);
  const place = param === '' ? 'The body' : param;
  const fail = (code: ErrorCode, message: string) => new CoreError(code, message, details);
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.join(', ');
    const inner = [param, issue.keys[0]].filter(Boolean).join('.');
    return new CoreError('unknown_key', `${place} has a key that is not known here: ${keys}.`, {
      ...details,
      param: inner,
    });
  }
  if (field === 'dimensions')
    return fail('invalid_dimensions', `dimensions must be a positive whole number, not ${show(value)}.`);
  if (field === 'types' && issue.code === 'invalid_value') {
    return fail('unsupported_type', `types takes ${EmbeddingType.options.join(', ')}; not ${show(value)}.`);
  }
  if (issue.code === 'invalid_value') {
    return fail('invalid_request', `${place} must be one of ${issue.values.join(', ')}; not ${show(value)}.`);
  }
  if (issue.code === 'too_small' && issue.origin === 'array') return fail('empty_input', `${place} is an empty list.`);
  if (issue.code === 'invalid_type') {
    const missing = value === undefined;
    const problem = missing ? 'is missing' : `must be of type ${issue.expected}, not ${kind(value)}`;
    return fail(missing ? 'invalid_request' : 'wrong_type', `${place} ${problem}.`);
  }
  if (issue.code === 'invalid_union') {
    const message =
      value === undefined
        ? `${place} is missing.`
        : `${place} must be a string, {"text": …} or {"image": …}, or a list of them; not ${kind(value)}.`;
    return fail(value === undefined ? 'invalid_request' : 'wrong_type', message);
  }
  return fail('invalid_request', `${place}: ${issue.message}.`);
}

function valueAt(document: unknown, path: PropertyKey[]): unknown {
  let value = document;
  for (const part of path) {
    value = typeof value === 'object' && value !== null ? Reflect.get(value, part) : undefined;
  }
  return value;
}

function kind(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : typeof value;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
