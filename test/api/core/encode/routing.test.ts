// The choice of an encoder: a decision table in which every combination of what is known has exactly one row.
import { expect, it } from 'vitest';
import { chooseRoute, LARGE, type Question, type Standing } from '../../../../api/core/encode/routing.ts';
import { LIMITS } from '../../../../contracts/src/api/limits.ts';

/** What a caller said of a job, and whether it may begin one. */
const SITUATIONS = {
  /** Respond-async. */
  asked: [{ job: 'asked', isHere: true }],
  /** Respond-async with seconds to wait. */
  late: [{ job: 'if_late', isHere: true }],
  said_nothing: [{ job: undefined, isHere: true }],
  /** Respond-async, where nobody can begin one. */
  unheard: [{ job: 'asked', isHere: false }],
  no_jobs: [
    { job: undefined, isHere: false },
    { job: 'if_late', isHere: false },
  ],
} as const;
type Situation = keyof typeof SITUATIONS;

/** Every value of everything that decides. */
const VALUES = {
  quota: ['enough', 'short'],
  job: Object.keys(SITUATIONS) as Situation[],
  cpu: ['ready', 'pauses', 'absent'],
  gpu: ['ready', 'pauses', 'absent'],
  asked: ['cpu', 'gpu', 'nothing'],
  size: ['small', 'many', 'heavy', 'too_many'],
  time: ['enough', 'short'],
} as const;
type Name = keyof typeof VALUES;
type Combination = { [N in Name]: (typeof VALUES)[N][number] };

/** In the order of VALUES; `*`: whatever it is, `a/b`: either. */
const TABLE = `
  short  *                            *            *             *       *                *      -          over_budget
  enough asked                        *            *             *       *                *      batch      asked
  enough late/said_nothing            *            *             *       too_many         *      batch      too_many
  enough unheard/no_jobs              *            *             *       too_many         *      -          too_many

  enough late                         absent       absent        *       small/many/heavy *      batch      no_encoder
  enough said_nothing/unheard/no_jobs absent       absent        *       small/many/heavy *      -          no_encoder
  enough late                         pauses       absent/pauses *       small/many/heavy *      batch      all_pause
  enough said_nothing/unheard/no_jobs pauses       absent/pauses *       small/many/heavy *      -          all_pause
  enough late                         absent       pauses        *       small/many/heavy *      batch      all_pause
  enough said_nothing/unheard/no_jobs absent       pauses        *       small/many/heavy *      -          all_pause

  enough late                         ready        absent/pauses *       small/many/heavy short  batch      deadline
  enough late                         ready        ready         cpu     small/many/heavy short  batch      deadline

  enough late                         ready        absent        nothing small/many/heavy enough lambda_cpu only_one
  enough said_nothing/no_jobs         ready        absent        nothing small/many/heavy *      lambda_cpu only_one
  enough late                         ready        absent        cpu     small/many/heavy enough lambda_cpu asked
  enough said_nothing/no_jobs         ready        absent        cpu     small/many/heavy *      lambda_cpu asked
  enough late                         ready        absent        gpu     small/many/heavy enough lambda_cpu not_there
  enough said_nothing/no_jobs         ready        absent        gpu     small/many/heavy *      lambda_cpu not_there
  enough unheard                      ready        absent        *       small/many/heavy *      lambda_cpu no_jobs
  enough late/said_nothing/no_jobs    absent       ready         nothing small/many/heavy *      lambda_gpu only_one
  enough late/said_nothing/no_jobs    absent       ready         gpu     small/many/heavy *      lambda_gpu asked
  enough late/said_nothing/no_jobs    absent       ready         cpu     small/many/heavy *      lambda_gpu not_there
  enough unheard                      absent       ready         *       small/many/heavy *      lambda_gpu no_jobs

  enough late                         ready        ready/pauses  cpu     small/many/heavy enough lambda_cpu asked
  enough said_nothing/no_jobs         ready        ready/pauses  cpu     small/many/heavy *      lambda_cpu asked
  enough unheard                      ready        ready/pauses  cpu     small/many/heavy *      lambda_cpu no_jobs
  enough late/said_nothing/no_jobs    ready/pauses ready         gpu     small/many/heavy *      lambda_gpu asked
  enough unheard                      ready/pauses ready         gpu     small/many/heavy *      lambda_gpu no_jobs
  enough late/said_nothing            pauses       ready         cpu     small/many/heavy *      lambda_gpu other_pauses
  enough unheard/no_jobs              pauses       ready         cpu     small/many/heavy *      lambda_gpu other_pauses
  enough late                         ready        pauses        gpu     small/many/heavy enough lambda_cpu other_pauses
  enough said_nothing/unheard/no_jobs ready        pauses        gpu     small/many/heavy *      lambda_cpu other_pauses

  enough late/said_nothing/no_jobs    ready/pauses ready         nothing many/heavy       *      lambda_gpu large
  enough unheard                      ready/pauses ready         nothing many/heavy       *      lambda_gpu no_jobs
  enough late                         ready        pauses        nothing many/heavy       enough lambda_cpu other_pauses
  enough said_nothing/unheard/no_jobs ready        pauses        nothing many/heavy       *      lambda_cpu other_pauses

  enough late/said_nothing/no_jobs    ready/pauses ready         nothing small            short  lambda_gpu deadline
  enough unheard                      ready/pauses ready         nothing small            short  lambda_gpu no_jobs
  enough said_nothing/unheard/no_jobs ready        pauses        nothing small            short  lambda_cpu other_pauses

  enough late/said_nothing/no_jobs    ready        ready/pauses  nothing small            enough lambda_cpu small
  enough unheard                      ready        ready/pauses  nothing small            enough lambda_cpu no_jobs
  enough late/said_nothing            pauses       ready         nothing small            enough lambda_gpu other_pauses
  enough unheard/no_jobs              pauses       ready         nothing small            enough lambda_gpu other_pauses
`
  .split('\n')
  .map((line) => line.trim().split(/\s+/))
  .filter(({ length }) => length > 1);

function combinations(): Combination[] {
  let all: Partial<Combination>[] = [{}];
  for (const [name, values] of Object.entries(VALUES))
    all = all.flatMap((one) => values.map((value) => ({ ...one, [name]: value })));
  return all as Combination[];
}

const STANDINGS: Record<'ready' | 'pauses' | 'absent', Standing> = { ready: 'ready', pauses: 9, absent: 'absent' };

const IMAGES = { small: LARGE.images - 1, many: LARGE.images, heavy: LARGE.images - 1, too_many: LIMITS.images + 1 };

function questionsOf({ quota, job, cpu, gpu, asked, size, time }: Combination): Question[] {
  const images = IMAGES[size];
  return SITUATIONS[job].map((said) => ({
    images,
    bytes: size === 'heavy' ? LARGE.bytes : LARGE.bytes - 1,
    deadlineMs: 10_000,
    expectedMs: time === 'short' ? 10_001 : 10_000,
    prefer: { job: said.job, encoder: asked === 'nothing' ? undefined : `lambda_${asked}` },
    backends: {
      lambda_cpu: STANDINGS[cpu],
      lambda_gpu: gpu === 'pauses' ? 4 : STANDINGS[gpu],
      batch: said.isHere ? 'ready' : 'absent',
    },
    imagesLeft: quota === 'short' ? images - 1 : images,
  }));
}

it('every combination has one row, and is answered by it', () => {
  const names = Object.keys(VALUES) as Name[];
  const all = combinations();
  expect(all).toHaveLength(2 * 5 * 3 * 3 * 3 * 4 * 2);
  for (const combination of all) {
    const rows = TABLE.filter((row) =>
      names.every((name, column) => row[column] === '*' || row[column]?.split('/').includes(combination[name])),
    );
    expect(rows, JSON.stringify(combination)).toHaveLength(1);
    const [route, reason] = rows[0]?.slice(names.length) ?? [];
    for (const question of questionsOf(combination)) {
      const chosen = chooseRoute(question);
      expect([chosen.route ?? '-', chosen.reason], JSON.stringify(combination)).toEqual([route, reason]);
    }
  }
});

it('where all pause, it says when the first of them is asked again', () => {
  const [both] = questionsOf({
    quota: 'enough',
    job: 'no_jobs',
    cpu: 'pauses',
    gpu: 'pauses',
    asked: 'nothing',
    size: 'small',
    time: 'enough',
  });
  if (!both) throw new Error('there is no such question');
  expect(chooseRoute(both)).toMatchObject({ retryAfterSeconds: 4 });
  expect(chooseRoute({ ...both, backends: { ...both.backends, lambda_gpu: 'absent' } })).toMatchObject({
    retryAfterSeconds: 9,
  });
});
