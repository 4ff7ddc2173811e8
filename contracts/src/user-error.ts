// What ends the command with a sentence and no stack trace: the user can act on it.

/** The command line, the recipe or the data is at fault; nothing was started. Exit code 2. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
}
