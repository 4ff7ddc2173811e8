// The playground: embeds each photo once, then every change of a sentence costs one cheap request.
import { ask, onKey, storedKey } from './key.js';
import { toDataUri } from './photo-file.js';
import { candidatesOf, caption } from './probability.js';

/** @typedef {{name: string, url: string, embedding?: string, space_id?: string}} Photo */

const SAMPLES = ['astronaut', 'cat', 'coffee', 'flower', 'galaxies', 'raccoon', 'rocket', 'temple'].map(
  (name) => `${name}.jpg`,
);
const state = {
  texts: [
    'a small cup of espresso on a wooden table',
    'a furry animal between green leaves',
    'stars in the night sky',
    'une tasse de café',
  ],
  /** @type {Photo[]} */
  photos: [],
  /** @type {import('./probability.js').ModelEntry[]} */
  models: [],
};

/** @template {HTMLElement} [T=HTMLElement] @param {string} id @returns {T} */
const element = (id) => /** @type {T} */ (document.getElementById(id));

/** @param {string} tag @param {Record<string, unknown>} properties @param {(Node | string)[]} children */
function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

/** @param {string} path @param {object} body */
async function post(path, body) {
  const response = await ask(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail ?? `${path} answered ${response.status}`);
  return answer;
}

/** Run one action of the user; what goes wrong is shown, not lost. @param {() => Promise<void>} action */
async function act(action) {
  element('error').hidden = true;
  try {
    await action();
  } catch (error) {
    element('error').textContent = error instanceof Error ? error.message : String(error);
    element('error').hidden = false;
  }
}

const options = () => ({
  model: /** @type {HTMLSelectElement} */ (element('tier')).value,
  dimensions: Number(/** @type {HTMLSelectElement} */ (element('dimensions')).value),
});

// ---- photos

/** @param {{blob: Blob, name: string}[]} files */
async function addPhotos(files) {
  const started = performance.now();
  /** @type {string[]} */
  const refused = [];
  for (const { blob, name } of files) {
    try {
      const url = await toDataUri(blob, name);
      const { data, space_id } = await post('/embed', { input: { image: url }, types: ['base64'] });
      state.photos.push({ name, url, embedding: data[0].embedding, space_id });
      showPhotos();
    } catch (error) {
      // One bad file among many: the others are taken.
      refused.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const count = files.length - refused.length;
  element('timing').textContent = `${count} photos embedded in ${Math.round(performance.now() - started)} ms`;
  await compare();
  if (refused.length > 0) throw new Error(refused.join(' '));
}

function showPhotos() {
  element('photos').replaceChildren(
    ...state.photos.map((photo, index) => {
      const remove = make('button', { className: 'plain', type: 'button', textContent: 'Remove' });
      remove.setAttribute('aria-label', `Remove ${photo.name}`);
      remove.onclick = () => {
        state.photos.splice(index, 1);
        showPhotos();
        void act(compare);
      };
      return make('li', {}, figure(photo, photo.name), remove);
    }),
  );
}

/** @param {Photo} photo @param {string} caption */
const figure = (photo, caption) =>
  make('figure', {}, make('img', { src: photo.url, alt: photo.name }), make('figcaption', { textContent: caption }));

const vectors = () => state.photos.map(({ embedding, space_id }) => ({ embedding, space_id, modality: 'image' }));

// ---- sentences

function showTexts() {
  element('texts').replaceChildren(
    ...state.texts.map((text, index) => {
      const input = document.createElement('input');
      input.value = text;
      input.setAttribute('aria-label', `Sentence ${index + 1}`);
      input.onchange = () => {
        state.texts[index] = input.value;
        void act(compare);
      };
      const remove = make('button', { className: 'plain', type: 'button', textContent: 'Remove' });
      remove.setAttribute('aria-label', `Remove sentence ${index + 1}`);
      remove.onclick = () => {
        state.texts.splice(index, 1);
        showTexts();
        void act(compare);
      };
      return make(
        'li',
        {},
        make('div', { className: 'row' }, input, remove),
        make('div', { className: 'receipt quiet' }),
      );
    }),
  );
}

/** Text of any length in a few lines; the rest is there, out of sight. @param {string} text */
const clamped = (text) => make('span', { className: 'clamped', textContent: text });

/** Says what of each sentence was read; what was cut is struck out. @param {any[]} items */
function showReceipts(items) {
  document.querySelectorAll('.receipt').forEach((node, index) => {
    const { truncated, tokens_seen, tokens_total, cut_at_char } = items[index]?.truncation ?? {};
    node.replaceChildren(
      truncated ? `${tokens_seen} of ${tokens_total} tokens were read; cut: ` : `${tokens_seen} tokens`,
    );
    if (truncated) {
      const cut = clamped(state.texts[index]?.slice(cut_at_char) ?? '');
      cut.classList.add('cut');
      node.append(cut);
    }
  });
}

// ---- heat map, search, curl

async function compare() {
  showCurl();
  if (state.texts.length === 0) return element('heat').replaceChildren();
  const started = performance.now();
  const embedded = await post('/embed', { ...options(), input: state.texts, types: ['base64'] });
  showReceipts(embedded.data);
  if (state.photos.length === 0) return element('heat').replaceChildren();
  const answer = await post('/similarity', { ...options(), a: state.texts, b: vectors() });
  const milliseconds = Math.round(performance.now() - started);
  element('timing').textContent =
    `${answer.usage.total_tokens} tokens, ${milliseconds} ms in the browser for both requests. Space ${answer.space_id.slice(0, 19)}…`;
  showHeat(answer[/** @type {HTMLSelectElement} */ (element('shown')).value]);
}

/** @param {number[][]} rows */
function showHeat(rows) {
  const all = rows.flat();
  const low = Math.min(...all);
  const span = Math.max(...all) - low || 1;
  const head = make(
    'tr',
    {},
    make('td', {}),
    ...state.photos.map((photo) => make('th', { scope: 'col' }, make('img', { src: photo.url, alt: photo.name }))),
  );
  element('heat').replaceChildren(
    make('thead', {}, head),
    make(
      'tbody',
      {},
      ...rows.map((row, index) =>
        make(
          'tr',
          {},
          make('th', { scope: 'row', title: state.texts[index] }, clamped(state.texts[index] ?? '')),
          ...row.map((value) => {
            const cell = make('td', { textContent: value.toFixed(2) });
            cell.style.setProperty('--share', String((value - low) / span));
            return cell;
          }),
        ),
      ),
    ),
  );
}

async function search() {
  const query = /** @type {HTMLInputElement} */ (element('query')).value;
  if (state.photos.length === 0) throw new Error('Add photos first: there is nothing to search.');
  const asked = { ...options(), ...candidatesOf(state.models, options(), state.photos.length) };
  const top_k = Math.min(5, state.photos.length);
  const { results } = await post('/similarity', { ...asked, a: query, b: vectors(), mode: 'top_k', top_k });
  element('results').replaceChildren(
    ...results[0].map((/** @type {{index: number, score: number, probability?: number}} */ hit) => {
      const photo = state.photos[hit.index];
      return make('li', {}, photo ? figure(photo, caption(hit)) : '');
    }),
  );
}

/** The page's own request for a shell: sentences against photos, read from files of their names, or sentences alone. */
function showCurl() {
  // In an unquoted here-document these three are the shell's; everything else stands for itself.
  const json = (/** @type {object} */ body) => JSON.stringify(body).replace(/[\\$`]/g, '\\$&');
  const files = state.photos.map(({ name }) => `'${name.replaceAll("'", "'\\''")}'`);
  const images = files.map((file) => `{"image":"$(base64 < ${file} | tr -d '\\n')"}`);
  const [path, body] =
    files.length > 0
      ? ['/similarity', `${json({ ...options(), a: state.texts }).slice(0, -1)},"b":[${images.join(',')}]}`]
      : ['/embed', json({ ...options(), input: state.texts })];
  // The key itself is not for a screen.
  const key = storedKey() ? ' -H "authorization: Bearer $KEY"' : '';
  element('curl').textContent =
    `curl ${location.origin}${path}${key} -H 'content-type: application/json' -d @- <<JSON\n${body}\nJSON`;
}

// ---- start

async function showModels() {
  const response = await ask('/v1/models');
  const { data, detail } = await response.json();
  if (!response.ok) throw new Error(detail);
  state.models = data;
  const [first] = data;
  element('tier').replaceChildren(...data.map((/** @type {any} */ model) => make('option', { textContent: model.id })));
  element('dimensions').replaceChildren(
    ...first.dimensions.map((/** @type {number} */ dim) => make('option', { textContent: String(dim) })),
  );
  element('model').textContent =
    `${first.id} ${first.version}, ${first.embed_dim} dimensions, up to ${first.context_length} tokens, ${first.space_id}`;
}

element('add-text').onsubmit = (event) => {
  event.preventDefault();
  const input = /** @type {HTMLInputElement} */ (element('new-text'));
  if (input.value === '') return;
  state.texts.push(input.value);
  input.value = '';
  showTexts();
  void act(compare);
};
element('search').onsubmit = (event) => {
  event.preventDefault();
  void act(search);
};
element('files').onchange = () => {
  const { files } = /** @type {HTMLInputElement} */ (element('files'));
  void act(() => addPhotos([...(files ?? [])].map((file) => ({ blob: file, name: file.name }))));
};
element('samples').onclick = () =>
  void act(async () => {
    const files = SAMPLES.map(async (name) => ({ name, blob: await (await fetch(`samples/${name}`)).blob() }));
    await addPhotos(await Promise.all(files));
  });
for (const id of ['tier', 'dimensions', 'shown']) element(id).onchange = () => void act(compare);
const drop = element('drop');
drop.ondragover = (event) => {
  event.preventDefault();
  drop.classList.add('over');
};
drop.ondragleave = () => drop.classList.remove('over');
drop.ondrop = (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  const files = [...(event.dataTransfer?.files ?? [])];
  void act(() => addPhotos(files.map((file) => ({ blob: file, name: file.name }))));
};
document.onpaste = (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length > 0) void act(() => addPhotos(files.map((file) => ({ blob: file, name: file.name }))));
};
element('copy').onclick = () => void act(() => navigator.clipboard.writeText(element('curl').textContent ?? ''));

const start = () =>
  act(async () => {
    await showModels();
    await compare();
  });
onKey(() => void start());
showTexts();
await start();
