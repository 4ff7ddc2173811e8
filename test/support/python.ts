// The Python interpreter that tests and checks use: the one that $TRAINER_PYTHON names, else the trainer's own.
import { ENVARS } from '../../contracts/src/envars.ts';
import { ensureVenv } from '../../trainer/control/local/venv.ts';
import { warmed } from './warm-python.ts';

/** Makes the environment where there is none yet, which takes minutes: call it where Python is really needed. */
export async function trainerPython(): Promise<string> {
  return process.env[ENVARS.python] ?? (await ensureVenv({ say: (sentence) => console.log(sentence) }));
}

/** What stands in for it in tests: its processes are forks of one that has the trainer's libraries loaded. */
export const warmPython = async (): Promise<string> => warmed(await trainerPython());
