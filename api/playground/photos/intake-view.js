// Shows photos on their way in: how many are read, how long the rest takes, what was not read and why.
import { button, counted, element, make, say, soon } from '../dom.js';
import { intake } from './intake.js';
import { store } from './store.js';

/** So many photos are read before a time is guessed from them. */
const FEW = 8;

export function watchIntake() {
  const show = soon(showIntake, 100);
  intake.subscribe(show);
  store.subscribe(show);
  element('stop').onclick = () => intake.stop();
}

function showIntake() {
  const state = intake.state();
  element('progress').hidden = !state.isRunning || state.total === 0;
  if (state.isRunning) showProgress(state);
  showStale(state.isRunning);
  showFailures(state);
  const { total, read, twice, isRunning } = state;
  // Told once, at the end: a live number would be read aloud a hundred times.
  if (!isRunning && total > 0) say('taken', state.isOfSamples ? '' : endOf({ read, twice }));
}

/** @param {{read: number, twice: number}} counts */
function endOf({ read, twice }) {
  const here = twice > 0 ? `${counted(twice, 'file')} ${twice === 1 ? 'was' : 'were'} here already.` : '';
  return `${read > 0 ? `${counted(read, 'photo')} read. ` : ''}${here}`.trim();
}

/** @param {{total: number, done: number, started: number, waits: number}} state */
function showProgress({ total, done, started, waits }) {
  const bar = /** @type {HTMLProgressElement} */ (element('progress-bar'));
  bar.max = total;
  bar.value = done;
  const left = ((performance.now() - started) / Math.max(1, done)) * (total - done);
  const time = done >= FEW && left > 1500 ? `, ${duration(left)} left` : '';
  const pause = waits > 0 ? ` The server is busy: going on in ${waits} s.` : '';
  element('progress-text').textContent =
    `Reading photos: ${done.toLocaleString('en')} of ${counted(total, 'photo')}${time}.${pause}`;
}

/** @param {number} ms */
function duration(ms) {
  const seconds = Math.ceil(ms / 1000);
  return seconds < 90 ? `about ${seconds} s` : `about ${Math.round(seconds / 60)} min`;
}

/** @param {boolean} isRunning */
function showStale(isRunning) {
  const stale = isRunning ? 0 : store.all().filter(({ vector }) => !vector).length;
  element('stale').hidden = stale === 0;
  if (stale === 0) return;
  const again = button('Read them again', () => intake.readAgain());
  element('stale').replaceChildren(
    `The server has another model now: ${counted(stale, 'photo')} must be read again. `,
    again,
  );
}

let shown = '';

/** Grouped by reason, each with its names. @param {{failures: import('./intake.js').Failure[]}} state */
function showFailures({ failures }) {
  const box = element('failures');
  const state = failures.map(({ name, refusal }) => `${name}\n${refusal.message}`).join('\n');
  if (state === shown) return;
  shown = state;
  box.hidden = failures.length === 0;
  const groups = Map.groupBy(failures, ({ refusal }) => refusal.message);
  const retry = failures.some(({ refusal }) => refusal.canRetry)
    ? [button('Try again', () => intake.retry(), 'primary')]
    : [];
  box.replaceChildren(
    make('p', {}, make('strong', {}, `${counted(failures.length, 'file')} not read`)),
    ...[...groups].map(([reason, members]) =>
      groupOf(
        reason,
        members.map(({ name }) => name),
      ),
    ),
    make(
      'div',
      { className: 'row' },
      ...retry,
      button('Forget them', () => leave(() => intake.forget())),
    ),
  );
}

/** @param {string} reason @param {string[]} names */
function groupOf(reason, names) {
  const list = make('ul', { className: 'names' }, ...names.map((name) => make('li', { textContent: name })));
  const details = make(
    'details',
    { open: names.length <= 8 },
    make('summary', {}, counted(names.length, 'file')),
    list,
  );
  return make('div', {}, make('p', { textContent: reason }), details);
}

/** What is clicked goes away: the focus goes to what stays. @param {() => void} action */
function leave(action) {
  action();
  element('add').focus();
}
