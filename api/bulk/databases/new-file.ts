// A file that appears under its name when it is whole, written a piece at a time.
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf, UserError } from '../../../contracts/src/user-error.ts';

export interface NewFile {
  /** Appends, or writes over what is at `position`. */
  write(bytes: Uint8Array | string, position?: number): Promise<void>;
  /** Everything is on the disk, and the file has its name. */
  finish(): Promise<void>;
  /** What was not finished is removed. */
  close(): Promise<void>;
}

/** Throws a UserError where no file of that name can be made. */
export async function openNewFile(path: string): Promise<NewFile> {
  const partial = `${path}.partial`;
  const there = await stat(path).catch(() => undefined);
  if (there?.isDirectory()) throw new UserError(`${path} is a folder: name a file`);
  let file: FileHandle | undefined = await open(partial, 'w').catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error;
    throw new UserError(`there is no folder ${dirname(path)}: make it first, or name another one`);
  });
  return {
    async write(bytes, position) {
      let rest = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
      let at = position ?? null;
      // A disk that is nearly full takes as much as it can and says how much: the error comes with the rest.
      while (file !== undefined && rest.length > 0) {
        const { bytesWritten } = await file.write(rest, 0, rest.length, at);
        rest = rest.subarray(bytesWritten);
        if (at !== null) at += bytesWritten;
      }
    },
    async finish() {
      await file?.sync();
      await file?.close();
      file = undefined;
      await rename(partial, path);
    },
    async close() {
      if (file === undefined) return;
      await file.close();
      file = undefined;
      await rm(partial, { force: true });
    },
  };
}
