// JSON that another program wrote, before a schema has said what it is.

/** Undefined where the text is not JSON, which no text of JSON means: a schema refuses it with its own sentence. */
export function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A field of an object's own; undefined where there is none, or the value is not an object. */
export function fieldOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined;
}
