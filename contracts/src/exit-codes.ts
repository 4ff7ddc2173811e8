// Exit codes of every command, training stage and container.

export const EXIT = {
  /** It did what was asked. */
  ok: 0,
  /** It failed; the output says why. */
  failed: 1,
  /** The command line or its input is wrong: the user can fix it. */
  usage: 2,
  /** sysexits' EX_DATAERR: data is wrong, and trying again changes nothing. */
  refused: 65,
  /** sysexits' EX_TEMPFAIL: a checkpoint was saved and the same command wants to be started again. */
  interrupted: 75,
} as const;
