// The gate: what may be published, and the sentence for everything that may not.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Candidate, decide, decideAdapted, type Incumbent } from '../../../api/registry/gate.ts';
import { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import type { TrainingReport } from '../../../contracts/src/training/job.ts';

const MANIFEST = ModelManifest.parse(
  JSON.parse(
    readFileSync(join(import.meta.dirname, '../../../contracts/vectors/ModelManifest/valid/whole.json'), 'utf8'),
  ),
);
const digest = (digit: string): string => `sha256:${digit.repeat(64)}`;
const DEV = digest('d');

/** What the committed model was measured at, rounded (trainer/LOG.md). */
const EXPORTED = {
  'parity.text.mean': 0.9984,
  'parity.text.worst': 0.9921,
  'parity.static.worst': 0.9992,
  'parity.image.worst': 0.9999,
  bytes: 38_509_727,
};
const EVALUATED = {
  'student_int8.mean_recall': 0.508,
  'student_int8.text_to_image_R@10': 0.671,
  'student_int8.image_to_text_R@10': 0.705,
  'static.mean_recall': 0.484,
  'student_int8.zero_shot_top1': 0.1,
  'student_share.text_to_image_R@10': 1.067,
  'student_share.image_to_text_R@10': 1.032,
};

function report(metrics: Record<string, number>): TrainingReport {
  const started_at = '2026-11-25T12:00:00.000Z';
  return {
    id: 'x',
    stage: 'x',
    status: 'succeeded',
    started_at,
    seconds: 1,
    device: 'cpu',
    metrics,
    artefacts: {},
    notes: [],
  };
}

function candidate(change: { exported?: Record<string, number>; evaluated?: Record<string, number> } = {}): Candidate {
  return {
    digest: digest('c'),
    manifest: MANIFEST,
    exported: report({ ...EXPORTED, ...change.exported }),
    evaluated: report({ ...EVALUATED, ...change.evaluated }),
    dev_data: DEV,
  };
}

function incumbent(metrics: Record<string, number> = EVALUATED, dev_data: string | null = DEV): Incumbent {
  const { name } = MANIFEST;
  const moved_at = '2026-11-24T12:00:00.000Z';
  const release = {
    name,
    action: 'publish' as const,
    manifest: digest('1'),
    moved_at,
    previous: null,
    reasons: [],
    metrics,
    dev_data,
  };
  return { digest: digest('1'), manifest: MANIFEST, release, replaced: new Map() };
}

describe('a candidate that is good enough', () => {
  it('is published as the first of its name, on its floors alone', () => {
    const decision = decide(candidate(), undefined);
    expect(decision).toMatchObject({ decision: 'publish', incumbent: null });
    expect(decision.reasons).toEqual([
      `the first ${MANIFEST.name}: it passes every floor, student_int8.mean_recall is 0.508`,
    ]);
    expect(decision.checks).toHaveLength(7);
  });

  it('is published over an incumbent that it equals, and by the noise between seeds below it', () => {
    expect(decide(candidate(), incumbent()).decision).toBe('publish');
    const slightly = candidate({ evaluated: { 'student_int8.mean_recall': 0.5031 } });
    expect(decide(slightly, incumbent())).toMatchObject({
      decision: 'publish',
      incumbent: digest('1'),
      reasons: ["student_int8.mean_recall is 0.5031, the incumbent's is 0.508; nothing falls further than it may"],
    });
  });

  it('says so where a new space makes stored vectors useless', () => {
    const before = incumbent();
    const other = { ...before, manifest: { ...MANIFEST, space_id: digest('9') } };
    expect(decide(candidate(), other).reasons[1]).toBe(
      'it has a new embedding space: vectors stored with the incumbent have to be made again',
    );
  });

  it('is not held against figures of another dev split, and the reason says that', () => {
    const better = incumbent({ ...EVALUATED, 'student_int8.mean_recall': 0.9 }, digest('e'));
    const decision = decide(candidate(), better);
    expect(decision.decision).toBe('publish');
    expect(decision.reasons[0]).toContain('measured on another dev split');
    expect(decision.checks).toHaveLength(7);
  });
});

describe('verdicts on whole searches', () => {
  const VERDICTS = {
    'student.verdict.auc': 0.64,
    'student.verdict.ece': 0.02,
    'tiny.verdict.auc': 0.63,
    'tiny.verdict.ece': 0.01,
    'static.verdict.ece': 0.01,
    'student.verdict.short.auc': 0.66,
    'tiny.verdict.short.present_called_absent': 0.1,
    'static.verdict.short.text_text.auc': 0.86,
    'student.verdict.short.long_text.present_called_absent': 0.1,
  };
  const judged = (figures: Record<string, number>): Candidate => ({
    ...candidate(),
    manifest: { ...MANIFEST, metrics: { ...MANIFEST.metrics, ...figures } },
  });
  const before = (dev_data = DEV): Incumbent => ({
    ...incumbent(EVALUATED, dev_data),
    manifest: judged(VERDICTS).manifest,
  });

  it.each([
    ['student.verdict.auc', 0.61, 'student.verdict.auc is 0.61; at least 0.62 is needed'],
    ['student.verdict.ece', 0.05, 'student.verdict.ece is 0.05; at most 0.04 is needed'],
    ['tiny.verdict.auc', 0.6, 'tiny.verdict.auc is 0.6; at least 0.61 is needed'],
    ['tiny.verdict.ece', 0.04, 'tiny.verdict.ece is 0.04; at most 0.03 is needed'],
    ['static.verdict.ece', 0.2, 'static.verdict.ece is 0.2; at most 0.03 is needed'],
    ['student.verdict.short.auc', 0.6, 'student.verdict.short.auc is 0.6; at least 0.61 is needed'],
    [
      'tiny.verdict.short.present_called_absent',
      0.35,
      'tiny.verdict.short.present_called_absent is 0.35; at most 0.14 is needed',
    ],
    ['static.verdict.short.text_text.auc', 0.8, 'static.verdict.short.text_text.auc is 0.8; at least 0.81 is needed'],
    [
      'student.verdict.short.long_text.present_called_absent',
      0.5,
      'student.verdict.short.long_text.present_called_absent is 0.5; at most 0.14 is needed',
    ],
  ])('that are worse in %s than the incumbent by more than may be are refused', (metric, value, sentence) => {
    expect(decide(judged({ ...VERDICTS, [metric]: value }), before())).toMatchObject({
      decision: 'reject',
      reasons: [sentence],
    });
  });

  it('that are missing are refused, where the incumbent has them', () => {
    expect(decide(candidate(), before()).reasons).toContain(
      'student.verdict.auc was not measured; at least 0.62 is needed',
    );
    expect(decide(judged(VERDICTS), incumbent()).decision).toBe('publish');
  });

  it('may be slightly worse, and are not compared on two dev splits', () => {
    const slightly = {
      'student.verdict.auc': 0.625,
      'student.verdict.ece': 0.035,
      'tiny.verdict.auc': 0.615,
      'tiny.verdict.ece': 0.025,
      'static.verdict.ece': 0.025,
      'student.verdict.short.auc': 0.62,
      'tiny.verdict.short.present_called_absent': 0.13,
      'static.verdict.short.text_text.auc': 0.83,
      'student.verdict.short.long_text.present_called_absent': 0.13,
    };
    expect(decide(judged(slightly), before()).decision).toBe('publish');
    expect(decide(judged({ ...slightly, 'student.verdict.auc': 0.3 }), before(digest('e'))).decision).toBe('publish');
  });
});

describe('a candidate that is not', () => {
  it.each([
    ['student_int8.mean_recall', 0.5029, 'student_int8.mean_recall is 0.5029; at least 0.503 is needed'],
    ['student_int8.text_to_image_R@10', 0.66, 'student_int8.text_to_image_R@10 is 0.66; at least 0.661 is needed'],
    ['static.mean_recall', 0.4, 'static.mean_recall is 0.4; at least 0.474 is needed'],
    ['student_int8.zero_shot_top1', 0.07, 'student_int8.zero_shot_top1 is 0.07; at least 0.08 is needed'],
    ['student_share.text_to_image_R@10', 0.89, 'student_share.text_to_image_R@10 is 0.89; at least 0.9 is needed'],
    ['student_int8.mean_recall', Number.NaN, 'student_int8.mean_recall was not measured; at least 0.503 is needed'],
  ])('falls behind in %s at %d and hears why', (metric, value, sentence) => {
    const decision = decide(candidate({ evaluated: { [metric]: value } }), incumbent());
    expect(decision.decision).toBe('reject');
    expect(decision.reasons).toEqual([sentence]);
  });

  it('falls behind on a dev set that the incumbent was measured on, or was not measured on it', () => {
    const before = incumbent({ ...EVALUATED, 'stsb.base.spearman': 0.71 });
    const found = (evaluated: Record<string, number>) => decide(candidate({ evaluated }), before).reasons;
    expect(found({ 'stsb.base.spearman': 0.69 })).toEqual(['stsb.base.spearman is 0.69; at least 0.7 is needed']);
    expect(found({})).toEqual(['stsb.base.spearman was not measured; at least 0.7 is needed']);
    expect(decide(candidate({ evaluated: { 'stsb.base.spearman': 0.705 } }), before).decision).toBe('publish');
  });

  it.each([
    ['parity.text.worst', 0.94, 'parity.text.worst is 0.94; at least 0.95 is needed'],
    ['bytes', 58_720_257, 'bytes is 58,720,257; at most 58,720,256 is needed'],
  ])('misses the floor of %s with or without an incumbent', (metric, value, sentence) => {
    for (const before of [undefined, incumbent()]) {
      expect(decide(candidate({ exported: { [metric]: value } }), before).reasons).toEqual([sentence]);
    }
  });

  it('hears of everything at once', () => {
    const bad = candidate({
      exported: { bytes: 1e9 },
      evaluated: { 'static.mean_recall': 0, 'student_int8.mean_recall': 0 },
    });
    expect(decide(bad, incumbent()).reasons).toHaveLength(3);
  });

  it('is current already, or has another name', () => {
    const same = { ...incumbent(), digest: digest('c') };
    expect(decide(candidate(), same)).toMatchObject({ decision: 'reject', checks: [] });
    const stranger = { ...incumbent(), manifest: { ...MANIFEST, name: 'other' } };
    expect(decide(candidate(), stranger).reasons[0]).toContain('a model replaces only one of its own name');
  });

  it('is not excused by a figure that was left out', () => {
    const { 'parity.image.worst': _, ...without } = EXPORTED;
    const decision = decide({ ...candidate(), exported: report(without) }, undefined);
    expect(decision.reasons).toEqual(['parity.image.worst was not measured; at least 0.99 is needed']);
  });
});

describe('a model that was adapted to own images', () => {
  const adapted = (after: number): Candidate =>
    candidate({ exported: { 'student.image_to_class_top1': after, 'student.image_to_class_top1.before': 0.04 } });

  it('is published when no figure of them is below what it was, whatever else was never measured', () => {
    const decision = decideAdapted(adapted(0.8), undefined);
    expect(decision).toMatchObject({ decision: 'publish', incumbent: null });
    expect(decision.checks).toEqual([
      { name: 'student.image_to_class_top1', value: 0.8, limit: 0.04, bound: 'min', passed: true },
    ]);
  });

  it('is held back when it got worse, was not measured, or is current already', () => {
    expect(decideAdapted(adapted(0.03), undefined).reasons).toEqual([
      'student.image_to_class_top1 is 0.03; at least 0.04 is needed',
    ]);
    expect(decideAdapted(candidate(), undefined).reasons).toEqual(['it was not measured on own images']);
    expect(decideAdapted(adapted(0.8), { ...incumbent(), digest: adapted(0.8).digest }).decision).toBe('reject');
  });
});
