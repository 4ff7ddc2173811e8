// Runs a command in this process and keeps what it printed.
import type { CommandContext } from '../../trainer/control/cli/context.ts';

type Command = (argv: readonly string[], context: CommandContext) => Promise<number>;

/** `context`: where the command thinks it is. */
export async function captured(
  command: Command,
  argv: readonly string[],
  context: Pick<CommandContext, 'root' | 'cwd' | 'env'>,
): Promise<{ code: number; stdout: string; stderr: string }> {
  let [stdout, stderr] = ['', ''];
  const code = await command(argv, {
    ...context,
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
  });
  return { code, stdout, stderr };
}
