// Merges documents: objects deeply, lists and values replaced, a null takes away. Pure.
import { z } from 'zod';

export type JsonObject = Record<string, unknown>;

/** Members of both, those of `over` on top: objects are merged, everything else is replaced. */
export function mergeObjects(base: JsonObject, over: JsonObject): JsonObject {
  const merged = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = Object.hasOwn(base, key) ? base[key] : undefined;
    merged[key] = isObject(value) ? mergeObjects(isObject(below) ? below : {}, value) : value;
  }
  return merged;
}

/** Takes out members that are null where the contract knows no null: `"mntp": null` is a recipe without that block. */
export function withoutRemoved(document: JsonObject, schema: unknown): JsonObject {
  const kept: JsonObject = {};
  for (const [key, value] of Object.entries(document)) {
    const member = memberSchema(schema, key);
    if (value === null && member instanceof z.ZodType && !member.safeParse(null).success) continue;
    kept[key] = isObject(value) ? withoutRemoved(value, member) : value;
  }
  return kept;
}

/** The value at a path; undefined where there is none. */
export function valueAt(document: unknown, path: readonly PropertyKey[]): unknown {
  let value = document;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = Object.entries(value).find(([name]) => name === String(key))?.[1];
  }
  return value;
}

/** The contract of a member of an object, a list or a record; undefined where it has none. */
export function memberSchema(schema: unknown, key: PropertyKey): unknown {
  let inner = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodNullable) inner = inner.unwrap();
  if (inner instanceof z.ZodObject) return inner.shape[String(key)];
  if (inner instanceof z.ZodArray) return inner.element;
  return inner instanceof z.ZodRecord ? inner.valueType : undefined;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
