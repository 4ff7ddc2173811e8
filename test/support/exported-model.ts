// Finished runs of `export` and `evaluate` in a store, around model files that the caller gives: what a gate and a publisher read.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ObjectStore } from '../../api/registry/store.ts';
import { sha256Of } from '../../api/registry/stores/hash.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import type { TrainingReport } from '../../contracts/src/training/job.ts';

const WHOLE = join(import.meta.dirname, '../../contracts/vectors/ModelManifest/valid/whole.json');

/** Figures that pass every floor of the gate. */
export const GOOD_EXPORT = {
  'parity.text.mean': 0.998,
  'parity.text.worst': 0.99,
  'parity.static.worst': 0.999,
  'parity.image.worst': 0.999,
  bytes: 1_000_000,
};
export const GOOD_EVALUATION = {
  'student_int8.mean_recall': 0.5,
  'student_int8.text_to_image_R@10': 0.67,
  'student_int8.image_to_text_R@10': 0.7,
  'static.mean_recall': 0.48,
  'student_share.text_to_image_R@10': 1,
  'student_share.image_to_text_R@10': 1,
};

/** Small files under a manifest that names them rightly; `version` makes every file another one. */
export function smallModel(version: string, name = 'tiny'): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  const document: unknown = JSON.parse(readFileSync(WHOLE, 'utf8'), (_, value) => {
    if (typeof value !== 'object' || value === null || !('digest' in value) || !('path' in value)) return value;
    const bytes = Buffer.from(`${value.path} of ${version}`);
    files.set(String(value.path), bytes);
    return { path: value.path, digest: sha256Of(bytes), size: bytes.length };
  });
  const manifest = ModelManifest.parse(document);
  // Such a graph nobody packs.
  const text = { ...manifest.text, engine: 'onnxruntime' };
  files.set('manifest.json', Buffer.from(JSON.stringify({ ...manifest, text, name, version })));
  return files;
}

export interface Figures {
  exported?: Record<string, number>;
  evaluated?: Record<string, number>;
}

export interface Runs {
  exported: string;
  evaluated: string;
}

/** Writes both runs below `prefix` of a store, reports last; returns their URIs. */
export async function writeRuns(
  store: ObjectStore,
  prefix: string,
  files: ReadonlyMap<string, Buffer>,
  { exported = GOOD_EXPORT, evaluated = GOOD_EVALUATION }: Figures = {},
): Promise<Runs> {
  const artefacts: TrainingReport['artefacts'] = {};
  for (const [path, bytes] of files) {
    await store.put(`${prefix}/export/${path}`, bytes);
    artefacts[path] = { path, digest: sha256Of(bytes), size: bytes.length };
  }
  const report = (stage: string, metrics: Record<string, number>, named: TrainingReport['artefacts']): Buffer => {
    const started_at = '2026-11-25T12:00:00.000Z';
    const made: TrainingReport = {
      id: stage,
      stage,
      status: 'succeeded',
      started_at,
      seconds: 1,
      device: 'cpu',
      metrics,
      artefacts: named,
      notes: [],
    };
    return Buffer.from(JSON.stringify(made));
  };
  await store.put(`${prefix}/export/report.json`, report('export', exported, artefacts));
  await store.put(`${prefix}/evaluate/report.json`, report('evaluate', evaluated, {}));
  return { exported: `${store.uri}/${prefix}/export`, evaluated: `${store.uri}/${prefix}/evaluate` };
}

/** Makes the stages of a tiny repository export these files and report these figures. */
export function plantModel(
  root: string,
  files: ReadonlyMap<string, Buffer>,
  { exported = GOOD_EXPORT, evaluated = GOOD_EVALUATION }: Figures = {},
): void {
  rmSync(join(root, 'exported'), { recursive: true, force: true });
  for (const [path, bytes] of files) {
    const file = join(root, 'exported', path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, bytes);
  }
  writeFileSync(join(root, 'measured-export.json'), JSON.stringify(exported));
  writeFileSync(join(root, 'measured-evaluate.json'), JSON.stringify(evaluated));
}
