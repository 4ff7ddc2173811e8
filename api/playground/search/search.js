// The search box and what it shows: every photo, or the photos in the order of what was asked for.
import { counted, element, isStopped, say, wordsOf } from '../dom.js';
import { fingerprint } from '../photos/fingerprint.js';
import { prepare } from '../photos/photo-file.js';
import { refusalOf } from '../photos/reasons.js';
import { store } from '../photos/store.js';
import { backToFirstPage, baseName, pageOfWall, showWall } from '../photos/wall.js';
import { chosen, serviceLimits } from '../service/models.js';
import { patiently, request, toVector } from '../service/requests.js';
import { embedTextsFor } from '../service/texts.js';
import { latestOf } from './latest.js';
import { dropOfBefore, withItsModels } from './outdated.js';
import { rank } from './ranking.js';
import { findingOf, hasVerdict, sentenceOf } from './verdict.js';

/** @typedef {import('../photos/store.js').Photo} Photo */
/** @typedef {{name: string, url: string, vector: Float32Array, space: string, itself?: Photo}} AskedPhoto */

/** Between two letters of a word, most people take less. */
const TYPING_MS = 250;
const box = /** @type {HTMLInputElement} */ (element('query'));
/** What is searched with instead of words. @type {AskedPhoto | undefined} */
let asked;
const latest = latestOf({ busy: 'search', again: () => void search(), ms: 150 });
/** Why the photo to search with was not taken: said until something else is asked for. @type {string | undefined} */
let refused;
let typing = 0;

export function watchSearch() {
  box.oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(() => void searchAnew(), box.value.trim() === '' ? 0 : TYPING_MS);
  };
  element('search').onsubmit = (event) => {
    event.preventDefault();
    clearTimeout(typing);
    void searchAnew();
  };
  element('asked-away').onclick = () => {
    setAsked(undefined);
    box.focus();
    void searchAnew();
  };
  for (const example of element('examples').querySelectorAll('button')) {
    example.onclick = () => {
      setAsked(undefined);
      box.value = example.textContent ?? '';
      void searchAnew();
      box.focus();
    };
  }
  // While photos come in, what is on the wall follows.
  store.subscribe(latest.follow);
}

const isSearching = () => asked !== undefined || box.value.trim() !== '';

/** From the first page. */
export function searchAnew() {
  backToFirstPage();
  refused = undefined;
  return search();
}

/** A stored photo has its vector already. @param {Photo} photo */
export function searchLike(photo) {
  if (!photo.vector) return say('verdict', ofNothing());
  setAsked({ name: photo.name, url: photo.url, vector: photo.vector, space: store.space(), itself: photo });
  void searchAnew();
  element('asked-away').focus();
  scrollTo({ top: 0 });
}

/** A photo that is not kept. @param {{file: Blob, name: string}} source */
export async function searchWith({ file, name }) {
  refused = undefined;
  const signal = latest.begin();
  try {
    const { image_bytes } = await serviceLimits();
    const { sent, shown } = await prepare(file, (await fingerprint(file)).first, image_bytes);
    const form = new FormData();
    form.append('image', sent, 'photo');
    form.append('types', 'base64');
    const { data, space_id } = await patiently(() => request('/embed', { body: form, signal }), { signal });
    if (store.space() !== '' && space_id !== store.space()) dropOfBefore();
    setAsked({ name, url: URL.createObjectURL(shown), vector: toVector(data[0].embedding), space: space_id });
    await searchAnew();
  } catch (error) {
    if (!signal.aborted && !isStopped(error)) refused = `${baseName(name)}: ${refusalOf(error).message}`;
    end(signal);
  }
}

/** @param {AskedPhoto | undefined} photo */
function setAsked(photo) {
  // The picture of a photo on the wall is the wall's.
  if (asked && !asked.itself) URL.revokeObjectURL(asked.url);
  asked = photo;
  box.value = '';
  element('asked').hidden = !photo;
  box.hidden = photo !== undefined;
  if (!photo) return;
  /** @type {HTMLImageElement} */ (element('asked-image')).src = photo.url;
  element('asked-name').textContent = `Photos like ${baseName(photo.name)}`;
}

/** @param {AbortSignal} signal @param {string} [problem] */
function end(signal, problem) {
  if (latest.end(signal)) say('search-error', problem ?? refused);
}

export async function search() {
  const signal = latest.begin();
  try {
    await withItsModels(() => answer(signal));
    end(signal);
  } catch (error) {
    if (signal.aborted) return;
    // What was found for other words would be taken for an answer.
    if (!isStopped(error)) showAll();
    end(signal, isStopped(error) ? undefined : wordsOf(error));
  }
}

/** @param {AbortSignal} signal */
async function answer(signal) {
  const text = box.value.trim();
  if (asked?.itself && !store.get(asked.itself.id)) setAsked(undefined);
  element('examples').hidden = isSearching();
  if (!isSearching()) return showAll();
  if (asked && store.space() !== '' && asked.space !== store.space()) {
    throw new Error('The server has another model now: choose the photo to search with once more.');
  }
  const query = asked
    ? { vector: asked.vector, modality: /** @type {const} */ ('image'), understood: true }
    : await textQuery(text, signal);
  const photos = store.all().filter((photo) => photo !== asked?.itself);
  const hits = rank(query.vector, photos, chosen().dimensions);
  const first = hits.slice(0, pageOfWall()).map(({ photo }) => photo);
  // Of words that the model does not know, the receipt has said all that there is to say.
  const isAnswer = query.understood || hits.length === 0;
  const finding = isAnswer ? await findingOf(query, first, signal) : { marks: [] };
  signal.throwIfAborted();
  if (asked) say('receipt');
  say('verdict', isAnswer ? verdictOf(hits.length, finding) : undefined);
  element('wall').dataset.ranked = 'true';
  const entries = hits.map((hit, index) => ({ ...hit, mark: finding.marks[index] }));
  showWall(entries.filter(({ photo }) => store.get(photo.id)));
}

function showAll() {
  say('receipt');
  say('verdict');
  element('wall').dataset.ranked = 'false';
  showWall(store.all().map((photo) => ({ photo })));
}

/** Why no photo can be found. */
function ofNothing() {
  if (store.count() === 0) return 'There are no photos to search yet: add some.';
  return store.isStale() ? 'The photos must be read again.' : 'The photos are still being read.';
}

/** @param {number} count @param {import('./verdict.js').Finding} finding */
function verdictOf(count, finding) {
  if (count === 0) return ofNothing();
  const sentence = sentenceOf(finding);
  if (sentence) return sentence;
  const { model, dimensions } = chosen();
  const why = hasVerdict() ? '' : ` ${model} does not say at ${dimensions} dimensions how likely a match is.`;
  return `${counted(count, 'photo')}, the nearest first.${why}`;
}

/** @param {string} text @param {AbortSignal} signal */
async function textQuery(text, signal) {
  const [embedded] = await embedTextsFor([text], { space: store.space(), signal });
  if (store.space() !== '' && embedded?.space !== store.space()) store.dropVectors();
  if (!embedded) throw new Error('The server answered without a vector.');
  signal.throwIfAborted();
  say('receipt', receiptOf(embedded.receipt));
  const { vector, receipt } = embedded;
  return { vector, modality: /** @type {const} */ ('text'), understood: receipt.understood, receipt };
}

/** Only where something was not read as it was written. @param {import('../service/texts.js').Receipt} receipt */
export function receiptOf({ understood, truncated, tokens_unknown, tokens_seen, tokens_total }) {
  if (!understood) return 'The model knows none of this: the order below means nothing. Try other words, in English.';
  const unknown =
    tokens_unknown > 0
      ? `The model does not know ${counted(tokens_unknown, 'word or symbol', 'words or symbols')} of this. `
      : '';
  const cut = truncated ? `Only the first ${tokens_seen} of ${tokens_total} tokens were read.` : '';
  return (unknown + cut).trim();
}
