// A command on a repository elsewhere: `node drive.ts train|model ROOT ARGUMENTS...`, started by the tests as a process.
import { train } from '../../../trainer/control/cli.ts';
import { model } from '../../../trainer/control/model-cli.ts';

const [command = '', root = '', ...args] = process.argv.slice(2);
const { env, stdout, stderr } = process;
process.exitCode = await (command === 'model' ? model : train)(args, { root, cwd: root, env, stdout, stderr });
