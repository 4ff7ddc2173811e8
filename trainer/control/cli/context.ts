// The process of a command as the command sees it: folders, environment and output.

export interface CommandContext {
  /** The repository. */
  root: string;
  /** The folder in which the user typed the command. */
  cwd: string;
  env: NodeJS.ProcessEnv;
  stdout: { write(text: string): unknown; isTTY?: boolean; columns?: number };
  stderr: { write(text: string): unknown };
}
