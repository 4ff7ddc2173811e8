// Bodies made wrong: values of other types, keys too many and too few, and text that is no JSON any more.
import fc from 'fast-check';

type Container = Record<string, unknown> | unknown[];
interface Slot {
  holder: Container;
  key: string | number;
}

const nested = (depth: number): unknown => {
  let value: unknown = 'dog';
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { content: value };
  return value;
};

const ODD_VALUES = fc.oneof(
  fc.constantFrom(null, true, false, 0, -1, 0.5, 1e308, -1e308, 2 ** 31, 2 ** 53, Number.MIN_VALUE),
  fc.constantFrom('', ' ', '\ud83d', '\udc00x', '\0', 'null', 'x'.repeat(2000), 'data:,', 'data:image/png;base64,'),
  fc.constantFrom(
    [],
    {},
    [[]],
    [null],
    [{}],
    [1, 2],
    [[101, 2003]],
    { text: null },
    { image: 'x' },
    { content: [] },
    { toString: null, valueOf: null },
  ),
  fc.constantFrom(5, 40, 300).map(nested),
  fc.jsonValue({ maxDepth: 3 }),
);
const ODD_KEYS = fc.oneof(
  fc.constantFrom(
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'length',
    'then',
    '',
    '0',
    'Model',
    'texts',
  ),
  fc.constantFrom('input', 'inputs', 'dimension', 'normalize', 'a', 'b', 'query', 'documents', 'images', 'truncate'),
  fc.string({ unit: 'binary', maxLength: 6 }),
);

/** Where in a value it may be changed, in the order of reading. */
function slotsOf(holder: Container): Slot[] {
  const keys = Array.isArray(holder) ? [...holder.keys()] : Object.keys(holder);
  return keys.flatMap((key): Slot[] => {
    const value = Reflect.get(holder, key);
    return [{ holder, key }, ...(typeof value === 'object' && value !== null ? slotsOf(value as Container) : [])];
  });
}

const CHANGES = fc.record({
  kind: fc.constantFrom('replace', 'wrap', 'remove', 'add', 'repeat', 'swap'),
  at: fc.nat({ max: 10_000 }),
  value: ODD_VALUES,
  key: ODD_KEYS,
});
type Change = typeof CHANGES extends fc.Arbitrary<infer T> ? T : never;

function put(holder: Container, key: string | number, value: unknown): void {
  Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
}

function change(root: { body: unknown }, { kind, at, value, key }: Change): void {
  const slots = slotsOf(root);
  const slot = slots[at % slots.length];
  if (!slot) return;
  const { holder } = slot;
  const current = Reflect.get(holder, slot.key);
  const set = (changed: unknown) => put(holder, slot.key, changed);
  if (kind === 'replace') set(value);
  if (kind === 'wrap') set(at % 2 === 0 ? [current] : { [key]: current });
  if (kind === 'swap') {
    const other = slots[(at * 7) % slots.length];
    set(structuredClone(other && Reflect.get(other.holder, other.key)));
  }
  if (kind === 'remove' && Array.isArray(holder)) holder.splice(Number(slot.key), 1);
  if (kind === 'remove' && !Array.isArray(holder) && holder !== root) Reflect.deleteProperty(holder, slot.key);
  if (kind === 'add' && Array.isArray(current)) current.push(value);
  else if (kind === 'add' && typeof current === 'object' && current !== null) put(current as Container, key, value);
  if (kind === 'repeat' && Array.isArray(current) && current.length > 0) {
    set(Array.from({ length: 300 }, (_, i) => current[i % current.length]));
  }
}

const RAW = fc.oneof(
  fc.nat({ max: 1000 }).map((at) => ({ kind: 'cut' as const, at })),
  fc.record({ kind: fc.constant('duplicate' as const), key: ODD_KEYS, value: ODD_VALUES }),
  fc.constantFrom('1e999', '-1e999', '1E400', '00', '0x10', 'NaN', 'Infinity', "'x'", '\u0001').map((text) => ({
    kind: 'number' as const,
    text,
  })),
  fc.constantFrom('}', ' {}', '\n\n', '\0', ',', '//').map((text) => ({ kind: 'tail' as const, text })),
  fc.constantFrom('\ufeff', '\ufeff\ufeff', ' ', '\u00a0', 'x').map((text) => ({ kind: 'head' as const, text })),
  fc.constantFrom(10, 2000, 50_000).map((depth) => ({ kind: 'deep' as const, depth })),
  fc.record({
    kind: fc.constant('bytes' as const),
    at: fc.nat({ max: 1000 }),
    byte: fc.integer({ min: 0x80, max: 0xff }),
  }),
);
type Raw = typeof RAW extends fc.Arbitrary<infer T> ? T : never;

function spoil(json: string, raw: Raw): string | Uint8Array<ArrayBuffer> {
  switch (raw.kind) {
    case 'cut':
      return json.slice(0, raw.at % json.length);
    case 'duplicate': {
      const [, key = raw.key] = json.match(/^\{"(\w+)":/) ?? [];
      return json.replace(/^\{/, () => `{${JSON.stringify(key)}:${JSON.stringify(raw.value)},`);
    }
    case 'number':
      return json.replace(/(?<=[:[,])-?\d[\d.e+-]*|"[^"\\]*"(?=[\]}])/, () => raw.text);
    case 'tail':
      return json + raw.text;
    case 'head':
      return raw.text + json;
    case 'deep':
      return json.replace(/(?<=:)"[^"\\]*"/, () => '['.repeat(raw.depth) + ']'.repeat(raw.depth));
    case 'bytes': {
      const bytes = new Uint8Array(new TextEncoder().encode(json));
      bytes[raw.at % bytes.length] = raw.byte;
      return bytes;
    }
  }
}

/** Bodies as they are sent: as drawn, changed as values, or spoilt as text. */
export function sentOf(bodies: fc.Arbitrary<unknown>): fc.Arbitrary<string | Uint8Array<ArrayBuffer>> {
  const write = (value: unknown): string => JSON.stringify(value) ?? 'null';
  const changed = fc.tuple(bodies, fc.array(CHANGES, { minLength: 1, maxLength: 3 })).map(([body, changes]) => {
    const root = { body: structuredClone(body) };
    for (const { value, ...each } of changes) change(root, { ...each, value: structuredClone(value) });
    return write(root.body);
  });
  const spoilt = fc.tuple(bodies, RAW).map(([body, raw]) => spoil(write(body), raw));
  return fc.oneof(
    { weight: 3, arbitrary: bodies.map(write) },
    { weight: 5, arbitrary: changed },
    { weight: 2, arbitrary: spoilt },
  );
}
