// Says in a line what a document does not keep of its contract: where, what, and what is allowed. Pure.
import { z } from 'zod';
import { memberSchema, valueAt } from './merge.ts';

/** One issue as a line: `clip.text_tower: "gpt" is not allowed; use one of "llm", "scratch"`. */
export function sentenceOf(issue: z.core.$ZodIssue, document: unknown, contract: z.ZodType): string {
  const where = issue.path.length === 0 ? '' : `${pathText(issue.path)}: `;
  const value = valueAt(document, issue.path);
  switch (issue.code) {
    case 'unrecognized_keys': {
      const allowed = keysAt(contract, issue.path);
      const names = issue.keys.map((key) => `"${key}"`).join(', ');
      return `${where}unknown key ${names}${allowed.length === 0 ? '' : `; allowed here: ${allowed.join(', ')}`}`;
    }
    case 'invalid_value': {
      const allowed = `one of ${issue.values.map((one) => JSON.stringify(one)).join(', ')}`;
      return value === undefined
        ? `${where}missing; use ${allowed}`
        : `${where}${shown(value)} is not allowed; use ${allowed}`;
    }
    case 'invalid_type':
      return value === undefined
        ? `${where}missing (${issue.expected})`
        : `${where}expected ${issue.expected}, got ${shown(value)}`;
    default:
      return `${where}${issue.message.charAt(0).toLowerCase()}${issue.message.slice(1)}${value === undefined ? '' : `, got ${shown(value)}`}`;
  }
}

/** `prepare.pairs[0].format` */
function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index === 0 ? '' : '.'}${String(key)}`))
    .join('');
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** The keys that the contract allows in the object at `path`. */
function keysAt(contract: z.ZodType, path: readonly PropertyKey[]): string[] {
  let schema: unknown = path.reduce<unknown>(memberSchema, contract);
  while (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) schema = schema.unwrap();
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}
