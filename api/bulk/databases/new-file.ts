// A file that appears under its name when it is whole, written a piece at a time.
import { type FileHandle, open, rename, rm } from 'node:fs/promises';

export interface NewFile {
  /** Appends, or writes over what is at `position`. */
  write(bytes: Uint8Array | string, position?: number): Promise<void>;
  /** Everything is on the disk, and the file has its name. */
  finish(): Promise<void>;
  /** What was not finished is removed. */
  close(): Promise<void>;
}

export async function openNewFile(path: string): Promise<NewFile> {
  const partial = `${path}.partial`;
  let file: FileHandle | undefined = await open(partial, 'w');
  return {
    async write(bytes, position) {
      const content = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
      await file?.write(content, 0, content.length, position ?? null);
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
