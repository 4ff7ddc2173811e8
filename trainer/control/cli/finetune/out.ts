// The folder of --out: what may stand there before, and the finished model, all of it or nothing.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { jsonIn } from '../../../../contracts/src/json.ts';
import { FILES } from '../../../../contracts/src/keys.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import type { FinishedRun } from '../train-here.ts';

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

/** Puts the model there, in the place of one that is; answers the folder. */
export function copyOut({ folder, report }: FinishedRun, target: string): string {
  const partial = `${target}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  for (const { path } of Object.values(report.artefacts)) {
    mkdirSync(dirname(join(partial, path)), { recursive: true });
    cpSync(join(folder, path), join(partial, path));
  }
  rmSync(target, { recursive: true, force: true });
  renameSync(partial, target);
  return target;
}
