// The one error of everything a person starts from a command line: it is printed as a sentence, without a stack trace.

/** What the user can fix; the message says what was wrong and what to do. Every command prints it and exits with 2. */
export class UserError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UserError';
  }
}
