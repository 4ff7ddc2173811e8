// The sentences that photos are compared with, and how much of each was read.
import { button, element, make } from '../dom.js';
import { receiptOf } from '../search/search.js';

export const texts = [
  'a small cup of espresso on a wooden table',
  'a furry animal between green leaves',
  'stars in the night sky',
  'une tasse de café',
];
let changed = () => {};

/** @param {() => void} listener */
export function watchSentences(listener) {
  changed = listener;
  element('add-text').onsubmit = (event) => {
    event.preventDefault();
    const input = /** @type {HTMLInputElement} */ (element('new-text'));
    if (input.value.trim() === '') return input.focus();
    texts.push(input.value);
    input.value = '';
    showTexts();
    changed();
  };
  showTexts();
}

function showTexts() {
  element('texts').replaceChildren(...texts.map(sentence));
}

/** @param {string} text @param {number} index */
function sentence(text, index) {
  const input = make('input', { value: text, autocomplete: 'off', dir: 'auto' });
  input.setAttribute('aria-label', `Sentence ${index + 1}`);
  // Enter is a change, too. A handler of keys that answers `false` would take every other key away, Tab included.
  input.onchange = () => {
    // What goes away with the focus on it changes once more.
    if (!input.isConnected) return;
    if (input.value.trim() === '') return remove(index);
    texts[index] = input.value;
    changed();
  };
  const away = button('Remove', () => remove(index));
  away.setAttribute('aria-label', `Remove sentence ${index + 1}`);
  return make('li', {}, make('div', { className: 'row' }, input, away), make('div', { className: 'receipt quiet' }));
}

/** The focus goes to the sentence after it. @param {number} index */
function remove(index) {
  texts.splice(index, 1);
  showTexts();
  const next = element('texts').children[Math.min(index, texts.length - 1)]?.querySelector('button');
  (next ?? element('new-text')).focus();
  changed();
}

/** Text of any length in a few lines; the rest is there, out of sight. @param {string} text */
export const clamped = (text) => make('span', { className: 'clamped', textContent: text, dir: 'auto' });

/** Says what of each sentence was read; what was cut is struck out. @param {import('../service/texts.js').Receipt[]} receipts */
export function showReceipts(receipts) {
  for (const [index, node] of [...document.querySelectorAll('.receipt')].entries()) {
    node.replaceChildren(...wordsOfReceipt(receipts[index], texts[index] ?? ''));
  }
}

/** @param {import('../service/texts.js').Receipt | undefined} receipt @param {string} text @returns {(Node | string)[]} */
function wordsOfReceipt(receipt, text) {
  if (!receipt) return [];
  const { truncated, tokens_seen, tokens_total, cut_at_char, understood, tokens_unknown } = receipt;
  if (truncated) {
    const cut = clamped(text.slice(cut_at_char ?? 0));
    cut.classList.add('cut');
    return [`${tokens_seen} of ${tokens_total} tokens were read; cut: `, cut];
  }
  if (!understood) return [`${tokens_seen} tokens. The model knows none of this. Try other words, in English.`];
  return [`${tokens_seen} tokens${tokens_unknown === 0 ? '' : `. ${receiptOf(receipt)}`}`];
}
