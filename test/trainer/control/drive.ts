// The train command on a repository elsewhere: `node drive.ts ROOT ARGUMENTS...`, started by the tests as a process.
import { train } from '../../../trainer/control/cli.ts';

const [root = '', ...args] = process.argv.slice(2);
process.exitCode = await train(args, {
  root,
  cwd: root,
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
});
