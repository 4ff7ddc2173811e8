// The little that the page needs of the DOM: find, make, and do something soon, once.

/** @template {HTMLElement} [T=HTMLElement] @param {string} id @returns {T} */
export const element = (id) => /** @type {T} */ (document.getElementById(id));

/**
 * A new element; text is never read as markup.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Record<string, unknown>} [properties] @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** A button that says what it does. @param {string} textContent @param {() => void} onclick @param {string} [className] */
export const button = (textContent, onclick, className = 'plain') =>
  make('button', { type: 'button', textContent, onclick, className });

/** Shows a message where it belongs, or takes it away. @param {string} id @param {string} [message] */
export function say(id, message = '') {
  const node = element(id);
  if (node.textContent !== message) node.textContent = message;
  node.hidden = message === '';
}

/** However often it is called meanwhile, `action` runs once. @param {() => void} action @param {number} [ms] */
export function soon(action, ms = 30) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      action();
    }, ms);
  };
}

/** @param {number} count @param {string} one @param {string} [many] */
export const counted = (count, one, many = `${one}s`) => `${count.toLocaleString('en')} ${count === 1 ? one : many}`;

/** @param {unknown} error */
export const wordsOf = (error) => (error instanceof Error ? error.message : String(error));

/** What somebody stopped needs no message. @param {unknown} error */
export const isStopped = (error) => error instanceof DOMException && error.name === 'AbortError';
