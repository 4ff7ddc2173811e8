// One photo, large, with what can be done with it; arrow keys go through the wall.
import { element, say } from '../dom.js';
import { store } from './store.js';
import { backToFirstPage, baseName, entriesOfWall, focusTile } from './wall.js';

/** @typedef {import('./store.js').Photo} Photo */

const dialog = /** @type {HTMLDialogElement} */ (element('viewer'));
const image = /** @type {HTMLImageElement} */ (element('viewer-image'));
/** @type {Photo | undefined} */
let current;
/** Of the file itself, only while it is seen. */
let url = '';
/** @type {{isCompared: (photo: Photo) => boolean}} */
let asked = { isCompared: () => false };

/** @param {{similar: (photo: Photo) => void, compare: (photo: Photo) => void, isCompared: (photo: Photo) => boolean}} actions */
export function watchViewer(actions) {
  asked = actions;
  element('viewer-next').onclick = () => step(1);
  element('viewer-previous').onclick = () => step(-1);
  element('viewer-close').onclick = () => dialog.close();
  element('viewer-remove').onclick = removeCurrent;
  element('viewer-similar').onclick = () => {
    const photo = current;
    dialog.close();
    backToFirstPage();
    if (photo) actions.similar(photo);
  };
  element('viewer-compare').onclick = () => {
    if (current) actions.compare(current);
    if (current) showCompared(current);
  };
  dialog.onkeydown = ({ key }) => {
    if (key === 'ArrowRight') step(1);
    if (key === 'ArrowLeft') step(-1);
  };
  // A click beside it is on the dialog itself.
  dialog.onclick = ({ target }) => {
    if (target === dialog) dialog.close();
  };
  dialog.onclose = () => {
    release();
    focusTile(current?.id);
    current = undefined;
  };
  image.onerror = () => {
    // The file has gone, or only the service can read it.
    if (current && image.src !== current.url) image.src = current.url;
  };
}

/** @param {Photo} photo */
export function openViewer(photo) {
  show(photo);
  if (!dialog.open) dialog.showModal();
}

/** @param {Photo} photo */
function show(photo) {
  release();
  current = photo;
  url = URL.createObjectURL(photo.file);
  image.src = url;
  image.alt = photo.name;
  const at = positionOf(photo);
  const entries = entriesOfWall();
  const entry = entries[at];
  element('viewer-name').textContent = baseName(photo.name);
  const cosine = entry?.cosine === undefined ? [] : [`cosine ${entry.cosine.toFixed(3)}`];
  const facts = [`${photo.width} × ${photo.height}`, ...(entry?.mark ? [entry.mark.detail] : []), ...cosine];
  say('viewer-about', `${facts.join(' · ')}. ${at + 1} of ${entries.length.toLocaleString('en')}`);
  showCompared(photo);
  for (const [id, next] of /** @type {[string, number][]} */ ([
    ['viewer-previous', at - 1],
    ['viewer-next', at + 1],
  ])) {
    // `disabled` would take the focus away at the last one.
    element(id).setAttribute('aria-disabled', String(!entries[next]));
  }
}

/** @param {Photo} photo */
function showCompared(photo) {
  element('viewer-compare').setAttribute('aria-pressed', String(asked.isCompared(photo)));
}

/** @param {Photo} photo */
const positionOf = ({ id }) => entriesOfWall().findIndex(({ photo }) => photo.id === id);

/** @param {number} by */
function step(by) {
  const next = current && entriesOfWall()[positionOf(current) + by];
  if (next) show(next.photo);
}

function removeCurrent() {
  if (!current) return;
  const entries = entriesOfWall();
  const at = positionOf(current);
  const next = entries[at + 1] ?? entries[at - 1];
  store.remove([current]);
  if (next) return show(next.photo);
  current = undefined;
  dialog.close();
  element('add').focus();
}

function release() {
  if (url) URL.revokeObjectURL(url);
  url = '';
}
