// ?local=1: texts become vectors in this tab, and none is sent to /embed. Photos and what is judged go to the service as ever.
import { say } from '../dom.js';
import { chosen } from './models.js';
import { ServiceError } from './requests.js';

/** @typedef {{embedding: Float32Array, truncation: object} | {error: {code: string, message: string}}} LocalText */
/** @typedef {{name: string, version: string, space_id: string, embed: (texts: string[], model: string) => Promise<LocalText[]>, bytesRead: () => number}} LocalModel */

/** Made from api/browser and put beside the page; the compiler does not see it. */
const MODULE = '/local/embed.js';

export const isLocal = new URLSearchParams(location.search).get('local') === '1';

/** @type {Promise<LocalModel> | undefined} */
let opened;
/** How often the module did not come: some browsers remember that of an address (Chromium 150), so that each time has its own. */
let failures = 0;

async function open() {
  const { openLocalModel } = await import(failures === 0 ? MODULE : `${MODULE}?again=${failures}`).catch((error) => {
    failures += 1;
    throw error;
  });
  return openLocalModel();
}

/** What /embed would answer. @param {string[]} texts @param {string} model @returns {Promise<{data: LocalText[], space_id: string}>} */
export async function embedHere(texts, model) {
  if (opened === undefined) say('local', 'The model comes into this tab…');
  opened ??= open();
  const local = await opened.catch((error) => {
    opened = undefined;
    throw notCome(error);
  });
  const { entry } = chosen();
  const { name, version, space_id } = local;
  if (entry.space_id !== space_id || entry.version !== version) {
    throw new ServiceError(
      'model_unavailable',
      `This server answers with ${entry.id} ${entry.version}, and only ${name} ${version} can be loaded into a tab. Leave ?local=1 out of the address.`,
    );
  }
  const data = await local.embed(texts, model).catch((error) => {
    throw notCome(error);
  });
  const mib = (local.bytesRead() / 2 ** 20).toFixed(1);
  say('local', `Texts are read in this tab (${mib} MiB of the model came here): the server gets their vectors only.`);
  return { data, space_id };
}

/** What a browser says of a file that does not come names a file of ours, if anything. @param {unknown} error */
function notCome(error) {
  say('local');
  if (!(error instanceof TypeError)) return error;
  return new ServiceError(
    'gone',
    'The model did not come into this tab. Is the server still running, and are you online?',
  );
}
