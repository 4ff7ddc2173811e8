// The wall of photos, a page at a time. A photo keeps its place in the document's memory, so that nothing flickers.
import { counted, element, make } from '../dom.js';
import { store } from './store.js';

/** @typedef {import('./store.js').Photo} Photo */
/** @typedef {{level: 'likely' | 'perhaps' | 'unlikely', words: string, detail: string}} Mark */
/** @typedef {{photo: Photo, cosine?: number, mark?: Mark | undefined}} Entry */

const PAGE = 48;
/** @type {Map<number, HTMLLIElement>} */
const tiles = new Map();
/** @type {Entry[]} */
let entries = [];
let most = PAGE;

const wall = element('wall');

export const entriesOfWall = () => entries;
/** How many entries are seen, or would be on the first page. */
export const pageOfWall = () => most;
export function backToFirstPage() {
  most = PAGE;
}

/** @param {{open: (photo: Photo) => void, more: () => Promise<void>}} actions */
export function watchWall({ open, more }) {
  wall.onclick = ({ target }) => {
    const photo = photoAt(target);
    if (photo) open(photo);
  };
  wall.onkeydown = ({ key, target }) => {
    const photo = key === 'Delete' && photoAt(target);
    if (photo) store.remove([photo]);
  };
  element('more').onclick = async () => {
    const seen = most;
    most += PAGE;
    await more();
    focusTile(entries[seen]?.photo.id);
  };
}

/** @param {EventTarget | null} target */
function photoAt(target) {
  const tile = target instanceof Element && target.closest('li');
  return tile ? store.get(Number(tile.dataset.photo)) : undefined;
}

/** @param {Entry[]} next */
export function showWall(next) {
  entries = next;
  const seen = entries.slice(0, most);
  for (const id of tiles.keys()) if (!store.get(id)) tiles.delete(id);
  const nodes = seen.map(tileOf);
  const focused = /** @type {HTMLElement | null} */ (document.activeElement?.closest('#wall li') ?? null);
  const at = focused ? [...wall.children].indexOf(focused) : -1;
  if (nodes.length !== wall.children.length || nodes.some((node, index) => node !== wall.children[index])) {
    wall.replaceChildren(...nodes);
    // A photo that moved keeps the focus; that of a removed one goes to the next.
    if (focused) focusOn(focused.isConnected ? focused : (nodes[Math.min(at, nodes.length - 1)] ?? element('add')));
  }
  const left = entries.length - seen.length;
  element('more').hidden = left === 0;
  element('more').textContent = `Show ${Math.min(PAGE, left)} more of ${counted(left, 'photo')}`;
}

/** @param {number | undefined} id */
export function focusTile(id) {
  const tile = id === undefined ? undefined : tiles.get(id);
  if (tile?.isConnected) focusOn(tile);
}

/** @param {HTMLElement} node */
function focusOn(node) {
  (node.querySelector('button') ?? node).focus();
}

/** @param {Entry} entry */
function tileOf({ photo, mark }) {
  const tile = tiles.get(photo.id) ?? makeTile(photo);
  tiles.set(photo.id, tile);
  const note = /** @type {HTMLElement} */ (tile.querySelector('.mark'));
  note.textContent = mark?.words ?? '';
  note.hidden = mark === undefined;
  note.dataset.level = mark?.level ?? '';
  tile.dataset.level = mark?.level ?? '';
  tile.classList.toggle('waits', !photo.vector);
  return tile;
}

/** @param {Photo} photo */
function makeTile({ id, name, url, width, height }) {
  const image = make('img', { src: url, alt: '', loading: 'lazy', decoding: 'async' });
  const label = make('span', { className: 'name', textContent: baseName(name), title: name });
  const caption = make('span', { className: 'caption' }, label, make('span', { className: 'mark', hidden: true }));
  const tile = make('li', {}, make('button', { type: 'button', className: 'tile' }, image, caption));
  tile.dataset.photo = String(id);
  // A panorama would have a row of its own, a screenshot of a long page none.
  tile.style.setProperty('--ratio', String(Math.max(0.66, Math.min(2.2, width / height))));
  return tile;
}

/** @param {string} name */
export const baseName = (name) => name.slice(name.lastIndexOf('/') + 1);
