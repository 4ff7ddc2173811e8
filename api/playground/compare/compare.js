// Sentences against a few photos: the heat map, and the same request for a shell.
import { button, element, isStopped, make, say, wordsOf } from '../dom.js';
import { store } from '../photos/store.js';
import { baseName } from '../photos/wall.js';
import { latestOf } from '../search/latest.js';
import { withItsModels } from '../search/outdated.js';
import { cosineOf } from '../search/ranking.js';
import { hasVerdict } from '../search/verdict.js';
import { judge } from '../service/judging.js';
import { chosen } from '../service/models.js';
import { embedTextsFor } from '../service/texts.js';
import { compared, compareFound, toggleCompared } from './compared.js';
import { curlOf } from './curl.js';
import { clamped, showReceipts, texts, watchSentences } from './sentences.js';

/** @typedef {import('../photos/store.js').Photo} Photo */

const latest = latestOf({ busy: 'heat', again: () => void compare(), ms: 300 });
/** How long a sign of success stays. */
const COPIED_MS = 2000;

export function watchCompare() {
  watchSentences(() => void compare());
  element('shown').onchange = () => void compare();
  element('compare-found').onclick = () => {
    compareFound();
    void compare();
  };
  element('copy').onclick = () => void copy();
  store.subscribe(latest.follow);
}

/** Nothing is asked for while nobody looks. */
export async function compare() {
  if (element('compare-view').hidden) return;
  const signal = latest.begin();
  try {
    await withItsModels(() => answer(signal));
    say('compare-error');
  } catch (error) {
    if (!isStopped(error) && !signal.aborted) say('compare-error', wordsOf(error));
  }
  latest.end(signal);
}

/** @param {AbortSignal} signal */
async function answer(signal) {
  const photos = compared();
  const { model, dimensions } = chosen();
  element('curl-card').hidden = texts.length === 0;
  const names = photos.map(({ name }) => baseName(name));
  element('curl').textContent = curlOf({ texts, photos: names, model, dimensions, candidates: candidatesOf(photos) });
  const started = performance.now();
  const embedded = await embedTextsFor(texts, { space: store.space(), signal });
  showReceipts(embedded.map(({ receipt }) => receipt));
  const rows = await valuesOf(embedded, photos, signal);
  signal.throwIfAborted();
  // Figures of words that the model does not know would mean nothing.
  showHeat(
    rows.map((row, index) => (embedded[index]?.receipt.understood ? row : row.map(() => undefined))),
    photos,
  );
  const milliseconds = Math.round(performance.now() - started);
  say('timing', rows.length > 0 ? `${model}, ${dimensions} dimensions, ${milliseconds} ms in the browser.` : '');
}

/** @param {import('../service/texts.js').EmbeddedText[]} embedded @param {Photo[]} photos @param {AbortSignal} signal */
async function valuesOf(embedded, photos, signal) {
  if (photos.length === 0 || embedded.length === 0) return [];
  const { model, dimensions } = chosen();
  if (embedded.some(({ space }) => space !== store.space())) {
    // A notice says so, with a button that has them read again.
    store.dropVectors();
    return [];
  }
  const vectors = photos.map(({ vector }) => vector ?? new Float32Array());
  if (isCosine()) return embedded.map(({ vector }) => vectors.map((other) => cosineOf(vector, other, dimensions)));
  const candidates = candidatesOf(photos);
  const { rows } = await judge(
    embedded.map(({ vector }) => ({ vector, modality: 'text' })),
    vectors.map((vector) => ({ vector, modality: 'image' })),
    { model, dimensions, space: store.space(), candidates, signal },
  );
  return rows.map((row) => row.map(({ probability, calibrated }) => probability ?? calibrated));
}

/** Among how many a match is looked for, where the model can say how probable it is. @param {Photo[]} photos */
const candidatesOf = (photos) => (hasVerdict() ? photos.length : undefined);

const isCosine = () => /** @type {HTMLSelectElement} */ (element('shown')).value === 'cosine';

/** @param {(number | undefined)[][]} rows @param {Photo[]} photos */
function showHeat(rows, photos) {
  const all = rows.flat().filter((value) => value !== undefined);
  // A probability has a scale of its own.
  const low = isCosine() ? Math.min(...all) : 0;
  const span = isCosine() ? Math.max(...all) - low || 1 : 1;
  const head = make('tr', {}, make('td', {}), ...photos.map(columnHead));
  const body = rows.map((row, index) => {
    const cells = row.map((value) => {
      if (value === undefined) return make('td', { textContent: '–' });
      const cell = make('td', { textContent: value.toFixed(2) });
      cell.style.setProperty('--share', String((value - low) / span));
      return cell;
    });
    return make('tr', {}, make('th', { scope: 'row', title: texts[index] }, clamped(texts[index] ?? '')), ...cells);
  });
  element('heat').replaceChildren(...(rows.length > 0 ? [make('thead', {}, head), make('tbody', {}, ...body)] : []));
  element('no-heat').hidden = rows.length > 0 || texts.length === 0;
  element('no-sentences').hidden = texts.length > 0;
}

/** @param {Photo} photo */
function columnHead(photo) {
  const away = button('×', () => {
    toggleCompared(photo);
    element('compare-found').focus();
    void compare();
  });
  away.setAttribute('aria-label', `Leave ${baseName(photo.name)} out of the comparison`);
  return make('th', { scope: 'col' }, make('img', { src: photo.url, alt: baseName(photo.name) }), away);
}

async function copy() {
  const text = element('curl').textContent ?? '';
  try {
    await navigator.clipboard.writeText(text);
    say('copied', 'Copied.');
    setTimeout(() => say('copied'), COPIED_MS);
  } catch {
    // There is no clipboard on plain HTTP.
    getSelection()?.selectAllChildren(element('curl'));
    say('copied', 'This browser does not let the page copy: it is selected, press Ctrl+C or ⌘C.');
  }
}
