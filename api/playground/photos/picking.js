// Ways in for photos: chosen, a folder, dropped, pasted. On the search box they are what to search with.
import { element } from '../dom.js';

/** @typedef {import('./intake.js').Source} Source */

/** In a folder, what else is there is left alone. */
const PICTURES = /\.(jpe?g|png|webp|gif|avif|heic|heif|tiff?|bmp)$/i;

/** @param {FileList | File[] | null | undefined} files @returns {Source[]} */
const sourcesOf = (files) => [...(files ?? [])].map((file) => ({ file, name: file.webkitRelativePath || file.name }));

/** @param {Source} source */
const isPicture = ({ file, name }) => (file.type.startsWith('image/') || PICTURES.test(name)) && !/(^|\/)\./.test(name);

/** @param {{add: (sources: Source[]) => void, searchWith: (source: Source) => void}} actions */
export function watchPicking({ add, searchWith }) {
  choose('add', 'files', (sources) => add(sources));
  choose('add-folder', 'folder', (sources) => add(sources.filter(isPicture)));
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
    else if (entries.some((entry) => entry?.isDirectory)) void readEntries(entries).then(add);
    else add(files);
  });
  document.addEventListener('paste', (event) => {
    const files = sourcesOf(event.clipboardData?.files);
    const [first] = files;
    if (!first) return;
    event.preventDefault();
    if (isForSearch(event)) searchWith(first);
    else add(files);
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

/** Pictures in dropped folders, at any depth. @param {(FileSystemEntry | undefined)[]} entries @returns {Promise<Source[]>} */
async function readEntries(entries) {
  /** @type {Source[]} */
  const found = [];
  for (const entry of entries) {
    if (entry?.isDirectory)
      found.push(...(await readEntries(await listOf(/** @type {FileSystemDirectoryEntry} */ (entry)))));
    else if (entry) {
      const file = await new Promise((done, fail) => /** @type {FileSystemFileEntry} */ (entry).file(done, fail));
      found.push({ file, name: entry.fullPath.replace(/^\//, '') });
    }
  }
  return found.filter(isPicture);
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
