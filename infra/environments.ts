// The environments: one settings file each, infra/settings/NAME.json.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { Settings, SettingsFile } from './base/settings.ts';

const FOLDER = join(import.meta.dirname, 'settings');
/** Beside them, generated: the schema for editors. */
const SCHEMA = 'schema';

/** Part of the names of stacks, which take no other characters. */
const NAME = /^[a-z][a-z0-9-]{0,30}$/;

/** Names of the environments that there are. */
export function environmentNames(): string[] {
  const names = readdirSync(FOLDER).flatMap((file) => (file.endsWith('.json') ? [file.slice(0, -'.json'.length)] : []));
  return names.filter((name) => NAME.test(name) && name !== SCHEMA).toSorted();
}

/** The environment named by `-c environment=...`. */
export function settingsOf(name: unknown): Settings {
  const names = environmentNames();
  const found = names.find((environment) => environment === name);
  if (found === undefined)
    throw new RangeError(`-c environment=${String(name)}: no such environment; there is ${names.join(' and ')}`);
  return parseSettings(found, readFileSync(join(FOLDER, `${found}.json`), 'utf8'));
}

/** Settings as a file holds them. Throws an error that names the file and everything that is wrong in it. */
export function parseSettings(name: string, text: string): Settings {
  const { $schema: _, ...settings } = z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  const result = Settings.safeParse({ ...settings, name });
  if (!result.success) throw new RangeError(`infra/settings/${name}.json:\n${z.prettifyError(result.error)}`);
  return result.data;
}

/** The settings as JSON Schema, for the `$schema` of the files. */
export function settingsSchema(): string {
  const { $schema, properties, required, ...rest } = z.toJSONSchema(SettingsFile, { target: 'draft-7' });
  const withSchema = { $schema: { type: 'string' }, ...properties };
  return `${JSON.stringify({ $schema, title: 'Settings', ...rest, properties: withSchema, required }, null, 2)}\n`;
}
