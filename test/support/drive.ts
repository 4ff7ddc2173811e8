// A command on a repository elsewhere: `node drive.ts train|model ROOT ARGUMENTS...`, started by the tests as a process.

import { model } from '../../trainer/control/cli/model.ts';
import { train } from '../../trainer/control/cli/train.ts';

const [command = '', root = '', ...args] = process.argv.slice(2);
const { env, stdout, stderr } = process;
process.exitCode = await (command === 'model' ? model : train)(args, { root, cwd: root, env, stdout, stderr });
