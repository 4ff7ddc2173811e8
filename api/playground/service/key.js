// Asks the service with the visitor's API key, where it wants one. The key stays in this tab, and goes with it.

const PLACE = 'edge-clip-key';
const form = /** @type {HTMLFormElement} */ (document.getElementById('key'));
const field = /** @type {HTMLInputElement} */ (document.getElementById('key-text'));

/** Where the browser lets the page store nothing (its cookies are blocked), a reload forgets the key. */
let typed = '';

/** @returns {string} */
export function storedKey() {
  if (typed) return typed;
  try {
    return sessionStorage.getItem(PLACE) ?? '';
  } catch {
    return '';
  }
}

function keep() {
  // A header holds these letters only: the field's pattern has refused others.
  typed = field.value.trim();
  try {
    sessionStorage.setItem(PLACE, typed);
  } catch {
    // Kept by the page alone.
  }
}

/** `fetch` with the key; an answer that asks for one shows the form for it. @param {string} path @param {RequestInit} [init] */
export async function ask(path, init = {}) {
  const key = storedKey();
  const headers = { ...init.headers, ...(key ? { authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...init, headers });
  // A slow answer to the key before this one says nothing about this one.
  if (response.status === 401 && key === storedKey()) {
    form.hidden = false;
    field.focus();
  }
  return response;
}

/** Calls `again` when a key was given. @param {() => void} again */
export function onKey(again) {
  form.onsubmit = (event) => {
    event.preventDefault();
    keep();
    field.value = '';
    form.hidden = true;
    again();
  };
}
