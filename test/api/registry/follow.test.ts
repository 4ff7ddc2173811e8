// The follower of a pointer by a false clock: when it polls, what it tries again, and which requests keep a model open.
import { beforeEach, describe, expect, it } from 'vitest';
import { createFollower, type Follower, type FollowOptions, NotYet } from '../../../api/registry/follow.ts';
import { encodeDocument, type ObjectReader, objectOf } from '../../../api/registry/store.ts';
import { currentKey, releaseKey } from '../../../contracts/src/keys.ts';
import { digestOf } from '../../support/registry.ts';

const NAME = 'tiny';
const POLL_MS = 60_000;
type Model = string;

/** Manifests are only names here: digest of the word that is its model. */
const words = new Map(['embedded', 'one', 'two', 'three', 'four'].map((word) => [digestOf(word), word]));

let objects: Map<string, Uint8Array>;
let release: string | null;
function put(key: string, document: object): string {
  objects.set(key, encodeDocument(document));
  return key;
}
function point(word: string): string {
  const manifest = digestOf(word);
  const moved_at = '2026-01-01T00:00:00Z';
  const more = { action: 'publish', reasons: [], metrics: {}, dev_data: null };
  const document = { name: NAME, manifest, moved_at, previous: release, ...more };
  release = digestOf(encodeDocument(document));
  put(releaseKey(release), document);
  put(currentKey(NAME), { name: NAME, manifest, release, moved_at });
  return manifest;
}

// ------------------------------------------------------------------ clock

interface Timer {
  ms: number;
  due: number;
  beat(): void;
}
let time: number;
let timers: Set<Timer>;
/** While true, requests begin in a context that is dropped at once: their timers never fire, nor does their `finally` run. */
let isDropped: boolean;
function advance(ms: number): void {
  const end = time + ms;
  for (;;) {
    const [next] = [...timers].filter(({ due }) => due <= end).sort((a, b) => a.due - b.due);
    if (next === undefined) break;
    time = next.due;
    next.due += next.ms;
    next.beat();
  }
  time = end;
}
const clock = {
  now: () => time,
  sleep: async (ms: number) => advance(ms),
  every(ms: number, beat: () => void) {
    const timer = { ms, due: time + ms, beat };
    if (!isDropped) timers.add(timer);
    return () => void timers.delete(timer);
  },
};

// ------------------------------------------------------------------ follower

let opened: Model[];
let closed: Model[];
let events: object[];
let failures: Map<Model, Error>;
let registry: ObjectReader;
function follow(options: Partial<FollowOptions<Model>> = {}): Follower<Model> {
  return createFollower<Model>({
    registry,
    name: NAME,
    first: { digest: digestOf('embedded'), model: 'embedded' },
    pollMs: POLL_MS,
    clock,
    async open(digest) {
      const word = words.get(digest) ?? '';
      opened.push(word);
      const failure = failures.get(word);
      if (failure) throw failure;
      return word;
    },
    close: async (model) => void closed.push(model),
    onCurrent: ({ model }, { was }) => void events.push({ event: 'model_current', model, was }),
    log: (problem) => void events.push(problem),
    ...options,
  });
}
const current = (follower: Follower<Model>) => follower.current().model;
/** The next poll, a pause later. */
async function poll(follower: Follower<Model>): Promise<Model> {
  advance(POLL_MS);
  await follower.poll();
  return current(follower);
}
/** A request that goes on until it is told to end. */
function request(follower: Follower<Model>, signal?: AbortSignal) {
  let end = () => {};
  const done = follower.use(() => new Promise<void>((resolve) => (end = resolve)), { signal });
  return () => {
    end();
    return done;
  };
}

beforeEach(() => {
  [objects, release, time, timers, isDropped] = [new Map(), null, 0, new Set(), false];
  [opened, closed, events, failures] = [[], [], [], new Map()];
  registry = {
    uri: 'memory:',
    async get(key) {
      const bytes = objects.get(key);
      return bytes && objectOf(bytes);
    },
  };
});

describe('a follower polls', () => {
  it('once it is asked for, and is due again after the pause', async () => {
    const follower = follow();
    expect(follower.isDue()).toBe(true);
    expect(follower.hasPolled()).toBe(false);
    await follower.poll();
    expect(follower.hasPolled()).toBe(true);
    expect(follower.isDue()).toBe(false);
    advance(POLL_MS - 1);
    expect(follower.isDue()).toBe(false);
    advance(1);
    expect(follower.isDue()).toBe(true);
  });

  it('moves to what the pointer names and closes what it leaves', async () => {
    const follower = follow();
    expect(await poll(follower)).toBe('embedded');
    point('one');
    expect(await poll(follower)).toBe('one');
    expect(await poll(follower)).toBe('one');
    expect(events).toEqual([{ event: 'model_current', model: 'one', was: 'embedded' }]);
    expect({ opened, closed }).toEqual({ opened: ['one'], closed: ['embedded'] });
  });

  it('goes on with the model that it has while the registry is unreadable, which is said once until it is readable', async () => {
    const follower = follow();
    point('one');
    await poll(follower);
    const { get } = registry;
    for (const _ of [1, 2]) {
      registry.get = () => Promise.reject(new Error('the network failed'));
      for (const _ of [1, 2, 3]) expect(await poll(follower)).toBe('one');
      registry.get = get;
      await poll(follower);
    }
    const said = { event: 'registry_unreadable', reason: 'the network failed' };
    expect(events.slice(1)).toEqual([said, said]);
  });

  it('alone, until a poll that was cancelled has had its minute; it then moves nothing any more', async () => {
    let arrive = () => {};
    const late = new Promise<void>((resolve) => (arrive = resolve));
    const follower = follow({
      async open(digest) {
        const word = words.get(digest) ?? '';
        opened.push(word);
        if (word === 'one') await late;
        return word;
      },
    });
    point('one');
    const first = follower.poll();
    await expect.poll(() => opened).toEqual(['one']);
    point('two');
    advance(60_000);
    await follower.poll();
    expect(opened).toEqual(['one']);
    advance(1);
    await follower.poll();
    expect(current(follower)).toBe('two');
    arrive();
    await first;
    expect(current(follower)).toBe('two');
    expect(closed).toEqual(['embedded', 'one']);
  });
});

describe('a model that cannot be opened', () => {
  it('is refused, said once, and tried again after pauses that double up to an hour', async () => {
    const manifest = point('one');
    failures.set('one', new Error('it was altered'));
    const follower = follow();
    const tries: number[] = [];
    for (let minute = 1; minute <= 200; minute++) {
      const before = opened.length;
      expect(await poll(follower)).toBe('embedded');
      if (opened.length > before) tries.push(minute);
    }
    expect(tries).toEqual([1, 2, 4, 8, 16, 32, 64, 124, 184]);
    expect(events).toEqual([{ event: 'model_refused', manifest, reason: 'it was altered' }]);
  });

  it('yet is tried at every poll and said to wait once', async () => {
    const manifest = point('one');
    failures.set('one', new NotYet('the encoder is at another space'));
    const follower = follow();
    for (const _ of [1, 2, 3]) expect(await poll(follower)).toBe('embedded');
    expect(events).toEqual([{ event: 'model_waits', manifest, reason: 'the encoder is at another space' }]);
    failures.clear();
    expect(await poll(follower)).toBe('one');
    expect(opened).toEqual(Array(4).fill('one'));
  });

  it('is replaced by a release before it where nothing published is served yet', async () => {
    for (const word of ['one', 'two', 'three']) point(word);
    failures.set('three', new Error('altered')).set('two', new Error('altered'));
    expect(await poll(follow())).toBe('one');
  });

  it('does not bring an older release back where a published model is served', async () => {
    const follower = follow();
    for (const word of ['one', 'two']) {
      point(word);
      await poll(follower);
    }
    point('three');
    failures.set('three', new Error('altered'));
    expect(await poll(follower)).toBe('two');
    expect(opened).toEqual(['one', 'two', 'three']);
  });

  it('is only named where it could not be closed', async () => {
    const follower = follow({ close: () => Promise.reject(new Error('it is stuck')) });
    point('one');
    expect(await poll(follower)).toBe('one');
    expect(events.at(-1)).toEqual({ event: 'model_not_closed', reason: 'it is stuck' });
  });
});

describe('a request', () => {
  it('keeps its model open until it ends, and no third model is opened meanwhile', async () => {
    const follower = follow();
    const end = request(follower);
    point('one');
    expect(await poll(follower)).toBe('one');
    point('two');
    for (const _ of [1, 2, 3]) expect(await poll(follower)).toBe('one');
    expect({ opened, closed }).toEqual({ opened: ['one'], closed: [] });
    await end();
    expect(closed).toEqual(['embedded']);
    expect(await poll(follower)).toBe('two');
    expect(timers.size).toBe(0);
  });

  it('lets the follower go back to its model at once', async () => {
    const follower = follow();
    const end = request(follower);
    point('one');
    await poll(follower);
    point('embedded');
    expect(await poll(follower)).toBe('embedded');
    expect({ opened, closed }).toEqual({ opened: ['one'], closed: ['one'] });
    await end();
    expect(closed).toEqual(['one']);
  });

  it('whose client is gone keeps nothing open, although it never ends', async () => {
    const follower = follow();
    const client = new AbortController();
    request(follower, client.signal);
    point('one');
    expect(await poll(follower)).toBe('one');
    client.abort();
    point('two');
    expect(await poll(follower)).toBe('two');
    expect(closed).toEqual(['embedded', 'one']);
    expect(timers.size).toBe(0);
  });

  it('whose client was gone before it began is not begun', async () => {
    let isBegun = false;
    const work = async () => {
      isBegun = true;
    };
    await expect(follow().use(work, { signal: AbortSignal.abort(new Error('gone')) })).rejects.toThrow('gone');
    expect(isBegun).toBe(false);
  });

  it('that was dropped without a sign holds no further move: it is found out within a second', async () => {
    const follower = follow();
    isDropped = true;
    request(follower);
    isDropped = false;
    point('one');
    expect(await poll(follower)).toBe('one');
    expect(closed).toEqual([]);
    point('two');
    advance(POLL_MS);
    const began = time;
    await follower.poll();
    expect(current(follower)).toBe('two');
    expect(time - began).toBeLessThanOrEqual(1000);
    expect(closed).toEqual(['embedded', 'one']);
  });

  it('that was dropped without a sign keeps memory until the next poll only, while others keep theirs', async () => {
    const follower = follow();
    const end = request(follower);
    isDropped = true;
    request(follower);
    isDropped = false;
    point('one');
    await poll(follower);
    await poll(follower);
    expect(closed).toEqual([]);
    await end();
    expect(closed).toEqual(['embedded']);
  });

  it('that hangs for ten minutes is the last that holds a model', async () => {
    const follower = follow();
    request(follower);
    point('one');
    await poll(follower);
    advance(600_001);
    await follower.use(async () => {});
    expect(closed).toEqual(['embedded']);
  });
});
