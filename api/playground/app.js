// The page starts here: what answers, the sample photos, and which part is told of what.
import { compare, watchCompare } from './compare/compare.js';
import { isCompared, toggleCompared } from './compare/compared.js';
import { counted, element, say, soon, wordsOf } from './dom.js';
import { intake } from './photos/intake.js';
import { watchIntake } from './photos/intake-view.js';
import { watchPicking } from './photos/picking.js';
import { store } from './photos/store.js';
import { openViewer, watchViewer } from './photos/viewer.js';
import { watchWall } from './photos/wall.js';
import { search, searchAnew, searchLike, searchWith, watchSearch } from './search/search.js';
import { onKey } from './service/key.js';
import { onChoice, readService, serviceLimits } from './service/models.js';

const SAMPLES = ['astronaut', 'cat', 'coffee', 'flower', 'galaxies', 'raccoon', 'rocket', 'temple'];

async function addSamples() {
  const sources = SAMPLES.map(async (sample) => {
    const name = `${sample}.jpg`;
    return { name, file: await (await fetch(`samples/${name}`)).blob(), isSample: true };
  });
  try {
    intake.add(await Promise.all(sources));
  } catch {
    say('search-error', 'The sample photos did not come: the server does not answer.');
  }
}

/** What can be done with the photos that are here. */
function showBar() {
  const photos = store.all();
  const own = photos.filter(({ isSample }) => !isSample).length;
  const samples = photos.length - own;
  element('count').textContent = photos.length > 0 ? counted(photos.length, 'photo') : 'No photos yet';
  element('remove-all').hidden = photos.length === 0;
  element('remove-samples').hidden = samples === 0 || own === 0;
  element('samples').hidden = photos.length > 0;
  element('nothing').hidden = photos.length > 0;
}

/** The focus stays near what was clicked, which goes away. @param {() => void} action */
function keepingFocus(action) {
  action();
  element('add').focus();
}

/** The part of the page that the address names. */
function showView() {
  const isCompare = location.hash === '#compare';
  element('search-view').hidden = isCompare;
  element('compare-view').hidden = !isCompare;
  // What is to be said and done about photos on their way in is there wherever they are looked at.
  if (isCompare) element('compare-view').prepend(element('intake'));
  else element('nothing').before(element('intake'));
  for (const link of document.querySelectorAll('#views a[href^="#"]')) {
    const isHere = (link.getAttribute('href') === '#compare') === isCompare;
    if (isHere) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  void compare();
}

async function start() {
  element('trouble').hidden = true;
  try {
    await readService();
    const { text_chars } = await serviceLimits();
    for (const id of ['query', 'new-text']) /** @type {HTMLInputElement} */ (element(id)).maxLength = text_chars;
    await Promise.all([search(), compare()]);
  } catch (error) {
    element('trouble-text').textContent = wordsOf(error);
    element('trouble').hidden = false;
  }
}

watchIntake();
watchSearch();
watchCompare();
watchWall({ open: openViewer, more: search });
watchViewer({ similar: searchLike, compare: toggleCompared, isCompared });
watchPicking({ add: (sources) => intake.add(sources), searchWith: (source) => void searchWith(source) });
store.subscribe(soon(showBar));
onChoice(() => {
  void searchAnew();
  void compare();
});
onKey(async () => {
  await start();
  intake.retry();
});
element('trouble-again').onclick = async () => {
  await start();
  intake.retry();
};
element('samples').onclick = () => void addSamples();
element('remove-samples').onclick = () =>
  keepingFocus(() => store.remove(store.all().filter(({ isSample }) => isSample)));
element('remove-all').onclick = () =>
  keepingFocus(() => {
    // Those that are on their way would come after all.
    intake.stop();
    store.remove(store.all());
  });
addEventListener('hashchange', showView);
showView();
showBar();
void start();
void addSamples();
