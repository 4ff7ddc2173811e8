// One question at a time, of a part of the page: a new one ends the one before, and what changes meanwhile is followed afterwards.
import { element, soon } from '../dom.js';

/**
 * @param {{busy: string, again: () => void, ms: number}} options `busy`: the id of what shows that an answer is awaited; `again` asks
 * once more, at most every so many milliseconds
 */
export function latestOf({ busy, again, ms }) {
  let latest = new AbortController();
  /** Whether `latest` has not ended, and whether something changed since it began. */
  let isUnderWay = false;
  let isBehind = false;

  /** Something changed. What somebody asked for is answered first: photos may come for minutes. */
  const follow = soon(() => {
    if (isUnderWay) isBehind = true;
    else again();
  }, ms);

  return {
    follow,
    /** What came before is no longer waited for. */
    begin() {
      latest.abort();
      latest = new AbortController();
      isUnderWay = true;
      isBehind = false;
      element(busy).setAttribute('aria-busy', 'true');
      return latest.signal;
    },
    /** @param {AbortSignal} signal @returns {boolean} whether it was the latest, so that what it found is shown */
    end(signal) {
      if (signal.aborted) return false;
      isUnderWay = false;
      element(busy).setAttribute('aria-busy', 'false');
      if (isBehind) follow();
      return true;
    },
  };
}
