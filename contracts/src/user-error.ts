// The one error of everything a person starts from a command line: it is printed as a sentence, without a stack
// trace; what any error says, and the disk; and how far what somebody typed is from what there is.

/** What the user can fix; the message says what was wrong and what to do. Every command prints it and exits with 2. */
export class UserError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UserError';
  }
}

/** What somebody threw, as words: the message of an error, else the value itself. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The code of an error of the system or of Node, such as `ENOENT`; undefined where it has none. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

/**
 * Insertions, deletions, replacements and swaps of neighbours that lead from one to the other (optimal string alignment);
 * more than `limit` is one more.
 */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1];
      const isSwap = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      current[column] = Math.min(
        (above[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (above[column - 1] ?? 0) + (isSame ? 0 : 1),
        isSwap ? (before[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [before, above] = [above, current];
  }
  return above[b.length] ?? 0;
}

/** What a person's disk or rights forbid, by the name of the system's error. Any other error of the system is a fault of ours. */
export const ON_DISK: Record<string, string> = {
  EACCES: 'this user may not read or write there',
  EPERM: 'this user may not read or write there',
  EROFS: 'that disk can only be read; name another folder',
  ENOSPC: 'the disk is full: free some space and run the same command again',
  EDQUOT: 'the quota of that disk is used up: free some space and run the same command again',
  EFBIG: 'the file would be larger than this user or that disk may have',
  ENOTDIR: 'a file is where a folder is needed',
  EEXIST: 'a file is where a folder is needed',
  EISDIR: 'a folder is where a file is needed',
  ELOOP: 'links lead in a circle there',
};
