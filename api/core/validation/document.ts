// A JSON document as requests mean it: a key whose value is null is not there, and long lists are read in pieces.

/** Deeper than any schema looks; what lies below is refused or ignored anyway. */
const MAX_DEPTH = 32;

export interface Prepared {
  document: unknown;
  /** Some list has further entries. */
  isCut: boolean;
}

/** Without the keys whose value is null, and with at most `entries` entries in every list. What is sent is not changed. */
export function prepare(document: unknown, entries: number): Prepared {
  let isCut = false;
  const prepareValue = (value: unknown, depth: number): unknown => {
    if (depth > MAX_DEPTH) return value;
    if (Array.isArray(value)) return prepareList(value, depth);
    return isPlainObject(value) ? prepareObject(value, depth) : value;
  };
  const prepareList = (list: unknown[], depth: number): unknown[] => {
    if (list.length > entries) isCut = true;
    let kept = list.length > entries ? list.slice(0, entries) : list;
    // Most lists are numbers or strings and stay as they are: only a changed one is copied.
    for (const [index, entry] of kept.entries()) {
      if (typeof entry !== 'object') continue;
      const prepared = prepareValue(entry, depth + 1);
      if (prepared === entry) continue;
      if (kept === list) kept = [...list];
      kept[index] = prepared;
    }
    return kept;
  };
  const prepareObject = (object: object, depth: number): object => {
    const sent = Object.entries(object);
    // No schema has that many keys: it is refused as it is.
    if (sent.length > entries) return object;
    const kept = sent
      .filter(([, value]) => value !== null)
      .map(([key, value]): [string, unknown] => [key, prepareValue(value, depth + 1)]);
    const isSame = kept.length === sent.length && kept.every(([, value], index) => value === sent[index]?.[1]);
    return isSame ? object : Object.fromEntries(kept);
  };
  return { document: prepareValue(document, 0), isCut };
}

function isPlainObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

export function valueAt(document: unknown, path: PropertyKey[]): unknown {
  let value = document;
  for (const part of path) {
    value = typeof value === 'object' && value !== null ? Reflect.get(value, part) : undefined;
  }
  return value;
}
