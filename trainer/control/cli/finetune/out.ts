// The folder of --out: what may stand there before.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { jsonIn } from '../../../../contracts/src/json.ts';
import { FILES } from '../../../../contracts/src/keys.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';

/** Throws a UserError where something other than a model of that name is there: it would be lost. */
export function checkOut(target: string, name: string): void {
  if (!existsSync(target)) return;
  if (!statSync(target).isDirectory()) throw new UserError(`--out ${target} is a file: name a folder`);
  if (readdirSync(target).length === 0) return;
  const manifest = join(target, FILES.manifest);
  const found = existsSync(manifest) ? jsonIn(readFileSync(manifest, 'utf8')) : undefined;
  const holds = (found as { name?: unknown } | undefined)?.name;
  if (holds === name) return;
  const what = typeof holds === 'string' ? `a model named ${holds}` : 'something else';
  throw new UserError(`--out ${target} holds ${what}: name a folder that is empty or not there`);
}
