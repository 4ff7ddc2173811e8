// The Python interpreter that tests and checks use: the one that $TRAINER_PYTHON names, else the trainer's own.
import { stopAtOnce } from '../../contracts/command/stop-at-once.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import { ensureVenv } from '../../trainer/control/local/venv.ts';
import { warmed } from './warm-python.ts';

/** Makes the environment where there is none yet, which takes minutes: call it where Python is really needed. */
export async function trainerPython(): Promise<string> {
  const { env } = process;
  const given = env[ENVARS.python];
  if (given !== undefined) return given;
  const end = stopAtOnce(env, () => console.log('Stopped: the next run installs the Python packages anew'));
  try {
    return await ensureVenv({ env, say: (sentence) => console.log(sentence) });
  } finally {
    end();
  }
}

/** What stands in for it in tests: its processes are forks of one that has the trainer's libraries loaded. */
export const warmPython = async (): Promise<string> => warmed(await trainerPython());
