// Writes a word of a command line so that a shell reads it as one: printed command lines can be typed as they are.

/** `word`, in quotes where it holds what a shell would read as something else. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
