// Where models that were downloaded are kept between processes: a folder of this user, which edge_clip of Python uses as well.
import { access, constants, lstat, mkdir } from 'node:fs/promises';
import { homedir, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { codeOf, UserError } from '../../../contracts/src/user-error.ts';

const NAME = 'edge-clip';
/** A user without a home that can be written to, as in a container or on Lambda. */
const NO_HOME = new Set(['EACCES', 'ENOENT', 'ENOTDIR', 'EPERM', 'EROFS']);
const ONLY_OWNER = 0o700;
const OTHERS_WRITE = 0o022;

/** `named`: where this user keeps caches (XDG_CACHE_HOME); empty or absent: `~/.cache`. Made where it is missing, for its user alone. Throws a UserError where somebody else could put files there. */
export async function cacheFolder(named: string | undefined): Promise<string> {
  try {
    const folder = join(named || join(homedir(), '.cache'), NAME);
    await mkdir(folder, { recursive: true, mode: ONLY_OWNER });
    await access(folder, constants.W_OK);
    return folder;
  } catch (error) {
    if (!NO_HOME.has(codeOf(error) ?? '')) throw error;
    return temporaryFolder();
  }
}

/** Everybody may write beside it, and knows its name. */
async function temporaryFolder(): Promise<string> {
  const { uid } = userInfo();
  const folder = join(tmpdir(), `${NAME}-${uid}`);
  await mkdir(folder, { mode: ONLY_OWNER }).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error;
  });
  const found = await lstat(folder);
  if (found.isDirectory() && found.uid === uid && (found.mode & OTHERS_WRITE) === 0) return folder;
  throw new UserError(
    `${folder} is somebody else's, or others may write to it: remove it, or set XDG_CACHE_HOME to a folder of your own`,
  );
}
