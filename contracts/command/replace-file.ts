// Writes a file of a command in one step: whoever reads it meanwhile, or after a crash or on a full disk, has all of it or what was before.
import { randomUUID } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Its folder is made where it is missing. Nothing else of it stays where the disk refuses it. */
export function replaceFile(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  // Containers that share the folder may have equal numbers of processes.
  const temporary = `${file}.${randomUUID()}.tmp`;
  try {
    writeFileSync(temporary, text);
    renameSync(temporary, file);
  } finally {
    rmSync(temporary, { force: true });
  }
}
