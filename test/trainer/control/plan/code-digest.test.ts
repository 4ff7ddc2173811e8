// The code digest: what a stage imports counts, what it does not execute does not.
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { STAGE_NAMES, type StageName } from '../../../../contracts/src/stages.ts';
import {
  codeDigests,
  type ReadSource,
  sourceReader,
  stageSources,
  stagesIn,
} from '../../../../trainer/control/plan/code-digest.ts';

const FILES: Record<string, string> = {
  'stages/mntp.py': 'from towers.llm import (\n    pooled,\n    hidden,\n)\nfrom towers import optim\n',
  'stages/evaluate.py':
    '"""Evaluates.\n\nfrom towers.vision import nothing\n"""\nimport towers.metrics as metrics, json\n',
  'towers/__init__.py': '',
  'towers/llm.py': 'def pooled():\n    from .data import rows  # late\n    return rows("# not a comment")\n',
  'towers/data.py': 'rows = str\n',
  'towers/optim.py': 'lr = 1\n',
  'towers/metrics.py': 'recall = 1\n',
  'towers/vision.py': 'size = 1\n',
};

function reader(edits: Record<string, string> = {}): ReadSource {
  return (path) => edits[path] ?? FILES[path];
}

function digestsOf(read: ReadSource): Record<StageName, string> {
  return codeDigests(STAGE_NAMES, read);
}

function edited(path: string, from: string, to: string): ReadSource {
  const source = FILES[path] ?? '';
  expect(source).toContain(from);
  return reader({ [path]: source.replace(from, to) });
}

it('reads a stage with everything it imports, through brackets, packages, relative and late imports', () => {
  expect([...stageSources('mntp', reader()).keys()]).toEqual([
    'stages/mntp.py',
    'towers/__init__.py',
    'towers/data.py',
    'towers/llm.py',
    'towers/optim.py',
  ]);
  expect([...stageSources('evaluate', reader()).keys()]).toEqual([
    'stages/evaluate.py',
    'towers/__init__.py',
    'towers/metrics.py',
  ]);
});

it('keeps the hours of mntp when evaluate or a module it does not import is edited', () => {
  const before = digestsOf(reader());
  const afterEvaluate = digestsOf(edited('stages/evaluate.py', 'json', 'csv'));
  expect(afterEvaluate.mntp).toBe(before.mntp);
  expect(afterEvaluate.evaluate).not.toBe(before.evaluate);
  expect(digestsOf(edited('towers/vision.py', '1', '2'))).toEqual(before);
});

it('changes with a module that is imported by an imported one', () => {
  const after = digestsOf(edited('towers/data.py', 'str', 'int'));
  expect(after.mntp).not.toBe(digestsOf(reader()).mntp);
  expect(after.evaluate).toBe(digestsOf(reader()).evaluate);
});

it('does not count comments and blank lines, and does count what only looks like a comment', () => {
  const before = digestsOf(reader()).mntp;
  expect(digestsOf(edited('towers/llm.py', '  # late', '  # later\n\n    # on purpose')).mntp).toBe(before);
  expect(digestsOf(edited('towers/llm.py', '# not a comment', '# no comment')).mntp).not.toBe(before);
});

it('finds in this repository what the stage mntp is made of', () => {
  const read = sourceReader(join(import.meta.dirname, '../../../../trainer'));
  const paths = [...stageSources('mntp', read).keys()];
  expect(paths).toEqual(
    expect.arrayContaining(['stages/mntp.py', 'towers/data.py', 'towers/language/model.py', 'engine/run.py']),
  );
  expect(paths).not.toContain('stages/prepare.py');
  expect(paths).not.toContain('towers/sources.py');
});

it('finds a file of every stage of the table and of no other, as the image is stamped', () => {
  expect(stagesIn(join(import.meta.dirname, '../../../../trainer'))).toEqual(STAGE_NAMES.toSorted());
});
