// The part of a machine that a stage gets beside others, by what CUDA and OpenMP read.
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sharesOf, slowdownOf, visibleGpus } from '../../../../trainer/control/local/machine-share.ts';

const CPU = { cores: 16, gpus: [] };
const EIGHT = { cores: 96, gpus: ['0', '1', '2', '3', '4', '5', '6', '7'] };

describe('GPUs that a process sees', () => {
  const devices = join(mkdtempSync(join(tmpdir(), 'machine-')), 'dev');
  mkdirSync(devices);
  for (const name of ['nvidia0', 'nvidia1', 'nvidia2', 'nvidiactl', 'nvidia-uvm', 'null'])
    writeFileSync(join(devices, name), '');

  it.each<[NodeJS.ProcessEnv, string[]]>([
    [{}, ['0', '1', '2']],
    [{ CUDA_VISIBLE_DEVICES: '2,0' }, ['2', '0']],
    [{ CUDA_VISIBLE_DEVICES: 'GPU-8932f937' }, ['GPU-8932f937']],
    [{ CUDA_VISIBLE_DEVICES: '' }, []],
    [{ CUDA_VISIBLE_DEVICES: '1,-1,2' }, ['1']],
  ])('are those that are left: %j', (env, names) => {
    expect(visibleGpus(env, devices)).toEqual(names);
  });

  it('are none where there are no devices', () => {
    expect(visibleGpus({ CUDA_VISIBLE_DEVICES: '0' }, join(devices, 'none'))).toEqual([]);
  });
});

describe('a stage beside others takes, of its time by itself,', () => {
  it.each<[string, number, Parameters<typeof slowdownOf>]>([
    ['twice for a half of the cores', 2, [CPU, { parallel: 2, ranks: 1, stage: 'clip' }, {}]],
    ['by the cores that it gets, 5 of 16', 3.2, [CPU, { parallel: 3, ranks: 1, stage: 'clip' }, {}]],
    [
      'by the number of stages where each has less than a core',
      32,
      [CPU, { parallel: 32, ranks: 1, stage: 'clip' }, {}],
    ],
    ['twice where all of its processes have a half', 2, [CPU, { parallel: 2, ranks: 4, stage: 'clip' }, {}]],
    ['by the threads of one process where only one works', 8, [CPU, { parallel: 2, ranks: 4, stage: 'prepare' }, {}]],
    [
      'the same for threads that the environment sets',
      1,
      [CPU, { parallel: 2, ranks: 1, stage: 'clip' }, { OMP_NUM_THREADS: '4' }],
    ],
    ['the same on GPUs of its own', 1, [EIGHT, { parallel: 4, ranks: 2, stage: 'clip' }, {}]],
  ])('%s', (_, times, [machine, division, env]) => {
    expect(slowdownOf(machine, division, env)).toBe(times);
  });
});

describe('shares', () => {
  it('of one stage alone are the whole machine, as it is', () => {
    expect(sharesOf(EIGHT, { parallel: 1, ranks: 8 }, {})).toEqual([{}]);
  });

  it('divide the cores among all processes, never below one', () => {
    expect(sharesOf(CPU, { parallel: 3, ranks: 1 }, {})).toEqual(Array(3).fill({ OMP_NUM_THREADS: '5' }));
    expect(sharesOf(CPU, { parallel: 2, ranks: 4 }, {})).toEqual(Array(2).fill({ OMP_NUM_THREADS: '2' }));
    expect(sharesOf(CPU, { parallel: 32, ranks: 1 }, {})[31]).toEqual({ OMP_NUM_THREADS: '1' });
  });

  it('leave the threads that the environment sets', () => {
    expect(sharesOf(CPU, { parallel: 2, ranks: 1 }, { OMP_NUM_THREADS: '7' })[1]).toEqual({ OMP_NUM_THREADS: '7' });
  });

  it('give each stage GPUs of its own', () => {
    const shares = sharesOf(EIGHT, { parallel: 3, ranks: 2 }, {});
    expect(shares.map((share) => share.CUDA_VISIBLE_DEVICES)).toEqual(['0,1', '2,3', '4,5']);
    expect(shares[0]?.OMP_NUM_THREADS).toBe('16');
  });

  it('that no GPU is left for are refused, with the number there is', () => {
    expect(() => sharesOf(EIGHT, { parallel: 3, ranks: 4 }, {})).toThrow(/--parallel 3 with --ranks 4: 8 GPUs/);
  });
});
