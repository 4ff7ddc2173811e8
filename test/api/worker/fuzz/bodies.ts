// Bodies drawn from a schema: everything that it takes, with values that mean something where their key is known.
import fc from 'fast-check';
import { z } from 'zod';

/** What is read here of JSON Schema, which is what zod writes. */
interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  const?: unknown;
  enum?: unknown[];
  type?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
}
type Hints = Record<string, fc.Arbitrary<unknown>>;

/** `hints`: values by key, for what a schema does not say, such as which models there are. */
export function bodiesOf(schema: z.ZodType, hints: Hints): fc.Arbitrary<unknown> {
  const root = z.toJSONSchema(schema, { io: 'input', target: 'draft-2020-12', unrepresentable: 'any' }) as Schema;
  return arbitraryOf(root, { root, hints });
}

interface Context {
  root: Schema;
  hints: Hints;
  /** Key of the value. */
  key?: string;
}

function arbitraryOf(schema: Schema, context: Context): fc.Arbitrary<unknown> {
  const { hints, key } = context;
  const hint = key !== undefined && Object.hasOwn(hints, key) ? hints[key] : undefined;
  const plain = plainArbitrary(schema, context);
  if (!hint || schema.type === 'array') return plain;
  return fc.oneof({ weight: 9, arbitrary: hint }, { weight: 1, arbitrary: plain });
}

function plainArbitrary(schema: Schema, context: Context): fc.Arbitrary<unknown> {
  if (schema.$ref !== undefined) return arbitraryOf(resolve(schema.$ref, context), context);
  if ('const' in schema) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  const options = schema.anyOf ?? schema.oneOf;
  if (options) return fc.oneof(...options.map((option) => arbitraryOf(option, context)));
  if (schema.allOf) throw new Error('allOf is not drawn here');
  switch (schema.type) {
    case 'object':
      return objects(schema, context);
    case 'array':
      return fc.array(arbitraryOf(schema.items ?? {}, context), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.max(schema.minItems ?? 0, Math.min(schema.maxItems ?? 4, 4)),
      });
    case 'string':
      return schema.pattern ? fc.stringMatching(new RegExp(schema.pattern)) : TEXTS;
    case 'integer':
      return fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer(boundsOf(schema)));
    case 'number':
      return fc.double({ noNaN: true, noDefaultInfinity: true });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

function resolve(reference: string, { root }: Context): Schema {
  if (reference === '#') return root;
  const found = root.$defs?.[reference.replace('#/$defs/', '')];
  if (!found) throw new Error(`there is no ${reference}`);
  return found;
}

function objects(schema: Schema, context: Context): fc.Arbitrary<unknown> {
  const { properties = {}, required = [], additionalProperties: further } = schema;
  const fields = Object.entries(properties).map(
    ([key, value]) => [key, arbitraryOf(value, { ...context, key })] as const,
  );
  const record = fc.record(Object.fromEntries(fields), { requiredKeys: required });
  if (typeof further !== 'object') return record;
  const keys = fc.oneof(
    fc.constantFrom('text', 'title', 'image', 'constructor', '__proto__'),
    fc.string({ maxLength: 5 }),
  );
  const others = fc.dictionary(keys, arbitraryOf(further, { ...context, key: 'other' }), { maxKeys: 4 });
  return fc.tuple(record, others).map(([known, unknown]) => ({ ...unknown, ...known }));
}

function boundsOf({ minimum, maximum, exclusiveMinimum }: Schema): { min: number; max: number } {
  const least = exclusiveMinimum === undefined ? (minimum ?? Number.MIN_SAFE_INTEGER) : exclusiveMinimum + 1;
  return {
    min: Math.max(least, Number.MIN_SAFE_INTEGER),
    max: Math.min(maximum ?? Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
  };
}

/** Mostly words of the vocabulary; also empty, long, of any language, and with halves of characters. */
const TEXTS = fc.oneof(
  { weight: 16, arbitrary: fc.constantFrom('dog', 'a dog', 'running', 'Männer', 'dog '.repeat(30)) },
  { weight: 2, arbitrary: fc.string({ unit: 'grapheme', maxLength: 12 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
  { weight: 1, arbitrary: fc.constantFrom('', ' ', '\u200b', '\ud83d', '👍', 'x'.repeat(3000)) },
);
