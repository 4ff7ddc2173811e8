// Ways in for photos: chosen, a folder, dropped, pasted. On the search box they are what to search with.
import { counted, element, say } from '../dom.js';

/** @typedef {import('./intake.js').Source} Source */
/** @typedef {{found: Source[], closed: number}} Found of a folder: its files, and how much of it cannot be opened */

/** In a folder, what else is there is left alone. */
const PICTURES = /\.(jpe?g|png|webp|gif|avif|heic|heif|tiff?|bmp)$/i;

/** @param {FileList | File[] | null | undefined} files @returns {Source[]} */
const sourcesOf = (files) => [...(files ?? [])].map((file) => ({ file, name: file.webkitRelativePath || file.name }));

/** @param {Source} source */
const isPicture = ({ file, name }) => (file.type.startsWith('image/') || PICTURES.test(name)) && !/(^|\/)\./.test(name);

/** @param {{add: (sources: Source[]) => void, searchWith: (source: Source) => void}} actions */
export function watchPicking({ add, searchWith }) {
  /** Nothing that somebody does is answered with nothing. @param {Found} taken */
  const addFound = ({ found, closed }) => {
    const pictures = found.filter(isPicture);
    const none = pictures.length === 0 ? 'No photos were found in it. ' : '';
    const shut = closed > 0 ? `${counted(closed, 'file or folder', 'files or folders')} in it cannot be opened.` : '';
    say('found', (none + shut).trim());
    add(pictures);
  };
  const addChosen = (/** @type {Source[]} */ sources) => {
    say('found');
    add(sources);
  };
  choose('add', 'files', addChosen);
  choose('add-folder', 'folder', (sources) => addFound({ found: sources, closed: 0 }));
  choose('by-photo', 'query-file', ([source]) => source && searchWith(source));
  element('add-folder').hidden = !('webkitdirectory' in HTMLInputElement.prototype);

  document.addEventListener('dragover', (event) => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    document.body.dataset.drop = isForSearch(event) ? 'search' : 'photos';
  });
  document.addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) delete document.body.dataset.drop;
  });
  document.addEventListener('drop', (event) => {
    delete document.body.dataset.drop;
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    const entries = [...event.dataTransfer.items]
      .map((item) => item.webkitGetAsEntry?.())
      .filter((entry) => entry !== null);
    const files = sourcesOf(event.dataTransfer.files);
    const [first] = files;
    if (isForSearch(event) && first) searchWith(first);
    else if (entries.some((entry) => entry?.isDirectory)) void readEntries(entries).then(addFound);
    else addChosen(files);
  });
  document.addEventListener('paste', (event) => {
    const files = sourcesOf(event.clipboardData?.files);
    const [first] = files;
    if (!first || isText(event, first)) return;
    event.preventDefault();
    if (isForSearch(event)) searchWith(first);
    else addChosen(files);
  });
}

/** @param {Event} event */
const isForSearch = ({ target }) => target instanceof Element && target.closest('#search') !== null;

/** A button of the page's own before the browser's file dialog. @param {string} buttonId @param {string} inputId @param {(sources: Source[]) => void} take */
function choose(buttonId, inputId, take) {
  const input = /** @type {HTMLInputElement} */ (element(inputId));
  element(buttonId).onclick = () => input.click();
  input.onchange = () => {
    const sources = sourcesOf(input.files);
    // The same file may be chosen again.
    input.value = '';
    take(sources);
  };
}

/**
 * Spreadsheets and word processors copy a picture of their text beside it: in a field, the text is meant. File managers put names beside files.
 * @param {ClipboardEvent} event @param {Source} first
 */
function isText({ target, clipboardData }, { name }) {
  const text = clipboardData?.getData('text/plain') ?? '';
  return target instanceof HTMLInputElement && text.trim() !== '' && !text.includes(name);
}

/** What is in dropped folders, at any depth, and how many of it nobody may open. @param {(FileSystemEntry | undefined)[]} entries @returns {Promise<Found>} */
async function readEntries(entries) {
  /** @type {Found} */
  const all = { found: [], closed: 0 };
  for (const entry of entries) {
    try {
      if (entry?.isDirectory) {
        const { found, closed } = await readEntries(await listOf(/** @type {FileSystemDirectoryEntry} */ (entry)));
        all.found.push(...found);
        all.closed += closed;
      } else if (entry) {
        const file = await new Promise((done, fail) => /** @type {FileSystemFileEntry} */ (entry).file(done, fail));
        all.found.push({ file, name: entry.fullPath.replace(/^\//, '') });
      }
    } catch {
      all.closed += 1;
    }
  }
  return all;
}

/** A reader gives a hundred at a time. @param {FileSystemDirectoryEntry} folder */
async function listOf(folder) {
  const reader = folder.createReader();
  /** @type {FileSystemEntry[]} */
  const all = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (some.length === 0) return all;
    all.push(...some);
  }
}
