// A command on a repository elsewhere: `node drive.ts train|model|data ROOT ARGUMENTS...`, started by the tests as a process.

import { data } from '../../trainer/control/cli/datasets/data.ts';
import { model } from '../../trainer/control/cli/model.ts';
import { train } from '../../trainer/control/cli/train.ts';

const COMMANDS = { train, model, data };
const [command = '', root = '', ...args] = process.argv.slice(2);
const { env, stdout, stderr } = process;
const run = Object.entries(COMMANDS).find(([name]) => name === command)?.[1] ?? train;
process.exitCode = await run(args, { root, cwd: root, env, stdout, stderr });
