// Which encoder images go to: a decision table in which every combination of what is known has exactly one row.
import { expect, it } from 'vitest';
import { chooseRoute, LARGE, type Question, type Standing } from '../../../../api/core/encode/routing.ts';

/** Every value of everything that decides. */
const VALUES = {
  quota: ['enough', 'short'],
  job: ['yes', 'no'],
  jobs: ['here', 'none'],
  cpu: ['ready', 'pauses', 'absent'],
  gpu: ['ready', 'pauses', 'absent'],
  asked: ['cpu', 'gpu', 'nothing'],
  size: ['small', 'many', 'heavy'],
  time: ['enough', 'short'],
} as const;
type Name = keyof typeof VALUES;
type Combination = { [N in Name]: (typeof VALUES)[N][number] };

/**
 * In the order of VALUES; `*`: whatever it is, `a/b`: either. `job` where jobs are none, as `no` where none is wanted, is answered while
 * the caller waits.
 */
const TABLE = `
  short  *   *    *             *             *            *          *      -           over_budget
  enough yes here *             *             *            *          *      batch       asked

  enough no  *    absent        absent        *            *          *      -           none
  enough yes none absent        absent        *            *          *      -           none
  enough no  *    pauses        absent/pauses *            *          *      -           all_pause
  enough yes none pauses        absent/pauses *            *          *      -           all_pause
  enough no  *    absent        pauses        *            *          *      -           all_pause
  enough yes none absent        pauses        *            *          *      -           all_pause

  enough no  *    ready         absent        nothing      *          *      lambda_cpu  only_one
  enough no  *    ready         absent        cpu          *          *      lambda_cpu  asked
  enough no  *    ready         absent        gpu          *          *      lambda_cpu  not_there
  enough yes none ready         absent        *            *          *      lambda_cpu  no_jobs
  enough no  *    absent        ready         nothing      *          *      lambda_gpu  only_one
  enough no  *    absent        ready         gpu          *          *      lambda_gpu  asked
  enough no  *    absent        ready         cpu          *          *      lambda_gpu  not_there
  enough yes none absent        ready         *            *          *      lambda_gpu  no_jobs

  enough no  *    ready         ready/pauses  cpu          *          *      lambda_cpu  asked
  enough yes none ready         ready/pauses  cpu          *          *      lambda_cpu  no_jobs
  enough no  *    ready/pauses  ready         gpu          *          *      lambda_gpu  asked
  enough yes none ready/pauses  ready         gpu          *          *      lambda_gpu  no_jobs
  enough no  *    pauses        ready         cpu          *          *      lambda_gpu  other_pauses
  enough yes none pauses        ready         cpu          *          *      lambda_gpu  other_pauses
  enough no  *    ready         pauses        gpu          *          *      lambda_cpu  other_pauses
  enough yes none ready         pauses        gpu          *          *      lambda_cpu  other_pauses

  enough no  *    ready/pauses  ready         nothing      many/heavy *      lambda_gpu  large
  enough yes none ready/pauses  ready         nothing      many/heavy *      lambda_gpu  no_jobs
  enough no  *    ready         pauses        nothing      many/heavy *      lambda_cpu  other_pauses
  enough yes none ready         pauses        nothing      many/heavy *      lambda_cpu  other_pauses

  enough no  *    ready/pauses  ready         nothing      small      short  lambda_gpu  deadline
  enough yes none ready/pauses  ready         nothing      small      short  lambda_gpu  no_jobs
  enough no  *    ready         pauses        nothing      small      short  lambda_cpu  other_pauses
  enough yes none ready         pauses        nothing      small      short  lambda_cpu  other_pauses

  enough no  *    ready         ready/pauses  nothing      small      enough lambda_cpu  small
  enough yes none ready         ready/pauses  nothing      small      enough lambda_cpu  no_jobs
  enough no  *    pauses        ready         nothing      small      enough lambda_gpu  other_pauses
  enough yes none pauses        ready         nothing      small      enough lambda_gpu  other_pauses
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

function questionOf({ quota, job, jobs, cpu, gpu, asked, size, time }: Combination): Question {
  const images = size === 'many' ? LARGE.images : LARGE.images - 1;
  return {
    images,
    bytes: size === 'heavy' ? LARGE.bytes : LARGE.bytes - 1,
    deadlineMs: 10_000,
    expectedMs: time === 'short' ? 10_001 : 10_000,
    prefer: { job: job === 'yes', encoder: asked === 'nothing' ? undefined : `lambda_${asked}` },
    backends: {
      lambda_cpu: STANDINGS[cpu],
      lambda_gpu: gpu === 'pauses' ? 4 : STANDINGS[gpu],
      batch: jobs === 'here' ? 'ready' : 'absent',
    },
    imagesLeft: quota === 'short' ? images - 1 : images,
  };
}

it('every combination has one row, and is answered by it', () => {
  const names = Object.keys(VALUES) as Name[];
  const all = combinations();
  expect(all).toHaveLength(2 ** 4 * 3 ** 4);
  for (const combination of all) {
    const rows = TABLE.filter((row) =>
      names.every((name, column) => row[column] === '*' || row[column]?.split('/').includes(combination[name])),
    );
    expect(rows, JSON.stringify(combination)).toHaveLength(1);
    const [route, reason] = rows[0]?.slice(names.length) ?? [];
    const chosen = chooseRoute(questionOf(combination));
    expect([chosen.route ?? '-', chosen.reason], JSON.stringify(combination)).toEqual([route, reason]);
  }
});

it('where all pause, it says when the first of them is asked again', () => {
  const both = questionOf({
    quota: 'enough',
    job: 'no',
    jobs: 'none',
    cpu: 'pauses',
    gpu: 'pauses',
    asked: 'nothing',
    size: 'small',
    time: 'enough',
  });
  expect(chooseRoute(both)).toMatchObject({ retryAfterSeconds: 4 });
  expect(chooseRoute({ ...both, backends: { ...both.backends, lambda_gpu: 'absent' } })).toMatchObject({
    retryAfterSeconds: 9,
  });
});
