// An object from names that a caller chose to values: z.record, which leaves out the name `__proto__` without a word.
import * as z from 'zod';
// Not as `z.core`, with which a bundle would have the messages of sixty languages.
import { $constructor, util } from 'zod/v4/core';

const NAME = '__proto__';

/** With its type written out, which its `init` asserts. */
const PlainRecord: z.core.$constructor<z.ZodRecord> = z.ZodRecord;
type Def = z.core.$ZodRecordDef<z.ZodString, z.ZodType>;

/** As z.record is built itself; copies by describe() and the like are made by the same constructor. */
const OwnRecord = $constructor<z.ZodRecord<z.ZodString, z.ZodType>, Def>('OwnRecord', (schema, def) => {
  PlainRecord.init(schema, def);
  const parseOthers = schema._zod.parse;
  schema._zod.parse = (payload, context) => {
    const sent: unknown = payload.value;
    const parsed = parseOthers(payload, context);
    if (parsed instanceof Promise) throw new Error('values by name are read at once');
    if (typeof sent !== 'object' || sent === null || Array.isArray(sent) || !Object.hasOwn(sent, NAME)) return parsed;
    const member = def.valueType._zod.run({ value: Reflect.get(sent, NAME), issues: [] }, context);
    if (member instanceof Promise) throw new Error('values by name are read at once');
    parsed.issues.push(...util.prefixIssues(NAME, member.issues));
    // An assignment would set the object's prototype.
    const own = { value: member.value, enumerable: true, configurable: true, writable: true };
    Object.defineProperty(parsed.value, NAME, own);
    return parsed;
  };
});

/** `name`: what every name is, which `__proto__` has to be, too. */
export function byName<T extends z.ZodType>(name: z.ZodString, value: T): z.ZodRecord<z.ZodString, T> {
  return new OwnRecord({ type: 'record', keyType: name, valueType: value }) as z.ZodRecord<z.ZodString, T>;
}
