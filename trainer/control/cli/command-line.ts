// A command line read by node:util, its complaints turned into a refusal with the help below it.
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { UserError } from '../../../contracts/src/user-error.ts';

/** Options and words of `argv`; an unknown option or a missing value is a UserError. */
export function readArguments<T extends NonNullable<ParseArgsConfig['options']>>(
  argv: readonly string[],
  options: T,
  help: string,
) {
  try {
    return parseArgs({ args: [...argv], allowPositionals: true, options });
  } catch (error) {
    // node:util's own sentence names the option.
    if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
      throw new UserError(`${error.message}\n\n${help}`);
    throw error;
  }
}
