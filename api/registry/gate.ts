// Decides whether a trained model may be published: it passes every floor and does not fall behind the current model. Pure.
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import type { ModelRelease } from '../../contracts/src/model/release.ts';
import type { TrainingReport } from '../../contracts/src/training/job.ts';
import type { GateCheck, GateDecision } from '../../contracts/src/training/pipeline.ts';

/** The current model: its manifest, by digest and as read, and the release that brought it in. */
export interface Incumbent {
  digest: string;
  manifest: ModelManifest;
  release: ModelRelease;
  /** By manifest, models that a person replaced, and the move that did it. */
  replaced: ReadonlyMap<string, ModelRelease>;
}

export interface Candidate {
  digest: string;
  manifest: ModelManifest;
  /** Reports of the stages `export` and `evaluate`. */
  exported: TrainingReport;
  evaluated: TrainingReport;
  /** Digest of all that decides what they are measured on: figures of two dev splits are not compared. */
  dev_data: string;
}

interface Bound {
  metric: string;
  bound: 'min' | 'max';
  limit: number;
}

/**
 * Bounds that do not depend on the incumbent. Parity: cosine of the served int8 path to PyTorch float32. Student share:
 * the student's R@10 divided by the teacher's, the figure that distillation is judged by. Bytes: what a Worker's bundle
 * holds beside the runtime.
 */
const FLOORS: readonly (Bound & { of: 'exported' | 'evaluated' })[] = [
  { of: 'exported', metric: 'parity.text.mean', bound: 'min', limit: 0.99 },
  { of: 'exported', metric: 'parity.text.worst', bound: 'min', limit: 0.95 },
  { of: 'exported', metric: 'parity.static.worst', bound: 'min', limit: 0.99 },
  { of: 'exported', metric: 'parity.image.worst', bound: 'min', limit: 0.99 },
  { of: 'exported', metric: 'bytes', bound: 'max', limit: 56 * 2 ** 20 },
  { of: 'evaluated', metric: 'student_share.text_to_image_R@10', bound: 'min', limit: 0.9 },
  { of: 'evaluated', metric: 'student_share.image_to_text_R@10', bound: 'min', limit: 0.9 },
];

/**
 * How far a figure may fall below the incumbent's, in its own unit. Half a point of mean recall is the standard deviation
 * between seeds of one recipe on 1,000 photos (trainer/LOG.md): less than that is noise. Single recalls and zero-shot
 * figures vary more. Names `SET.TIER.FIGURE` are of dev sets; there the standard error of the set is allowed.
 */
const MAY_FALL: Readonly<Record<string, number>> = {
  'student_int8.mean_recall': 0.005,
  'student_int8.text_to_image_R@10': 0.01,
  'student_int8.image_to_text_R@10': 0.01,
  'static.mean_recall': 0.01,
  'student_int8.zero_shot_top1': 0.02,
  'imagenet-ccby.base.top1': 0.025,
  'unseen-nouns.base.top1': 0.025,
  'multi30k.base.de_R@1': 0.015,
  'stsb.base.spearman': 0.01,
  'absent.base.auc': 0.02,
};

/**
 * How far figures of the manifest may be worse than the incumbent's, of every tier: of the verdict whether a search found
 * anything, its area under the ROC curve and its calibration error, both by cross-validation on dev
 * (trainer/towers/verdict.py). Between two seeds of the drawn searches they differ by less than 0.01; of names (`short`), which
 * are a hundred in each half, the standard deviation between seeds is 0.01 to 0.015.
 */
const VERDICT_MAY_WORSEN: readonly { metric: string; bound: Bound['bound']; by: number }[] = [
  'student',
  'tiny',
  'static',
].flatMap((tier) => [
  { metric: `${tier}.verdict.auc`, bound: 'min', by: 0.02 },
  { metric: `${tier}.verdict.ece`, bound: 'max', by: 0.02 },
  // Names among images, names among texts, images among names, texts among names.
  ...['short', 'short.text_text', 'short.image_text', 'short.long_text'].flatMap((kind) => [
    { metric: `${tier}.verdict.${kind}.auc`, bound: 'min' as const, by: 0.05 },
    { metric: `${tier}.verdict.${kind}.present_called_absent`, bound: 'max' as const, by: 0.04 },
  ]),
]);

/** The reasons are sentences that a person can read weeks later. */
export function decide(candidate: Candidate, incumbent: Incumbent | undefined): GateDecision {
  const { evaluated, manifest } = candidate;
  const refused = refusal(candidate, incumbent);
  if (refused !== undefined) return refused;
  const checks = FLOORS.map(({ of, ...bound }) => check(bound, candidate[of].metrics));
  const isComparable = incumbent !== undefined && incumbent.release.dev_data === candidate.dev_data;
  if (isComparable) {
    for (const [metric, fall] of Object.entries(MAY_FALL)) {
      const before = incumbent.release.metrics[metric];
      // A figure that the incumbent was not measured at says nothing about a fall.
      if (before !== undefined) {
        checks.push(check({ metric, bound: 'min', limit: before - fall }, evaluated.metrics));
      }
    }
    for (const { metric, bound, by } of VERDICT_MAY_WORSEN) {
      const before = incumbent.manifest.metrics[metric];
      if (before !== undefined) {
        const limit = bound === 'min' ? before - by : before + by;
        checks.push(check({ metric, bound, limit }, manifest.metrics));
      }
    }
  }
  const failed = [...verdictOfPeople(candidate, incumbent), ...checks.filter(({ passed }) => !passed).map(sentence)];
  if (failed.length > 0) return reject(incumbent, checks, failed);
  return {
    decision: 'publish',
    reasons: grounds(candidate, incumbent, isComparable),
    checks,
    incumbent: incumbent?.digest ?? null,
  };
}

/**
 * A model that was adapted to a user's own images, which nothing else was measured on: no figure of them may be below what
 * the model was at before (`NAME.before`). Its files are held to what every model's are: their digests and golden vectors.
 */
export function decideAdapted(candidate: Candidate, incumbent: Incumbent | undefined): GateDecision {
  const { manifest, exported } = candidate;
  const refused = refusal(candidate, incumbent);
  if (refused !== undefined) return refused;
  const checks = Object.entries(exported.metrics).flatMap(([name, limit]) => {
    const metric = name.replace(/\.before$/, '');
    return metric === name ? [] : [check({ metric, bound: 'min', limit }, exported.metrics)];
  });
  const failed = [...verdictOfPeople(candidate, incumbent), ...checks.filter(({ passed }) => !passed).map(sentence)];
  if (failed.length > 0 || checks.length === 0)
    return reject(incumbent, checks, checks.length === 0 ? ['it was not measured on own images'] : failed);
  const kept = `no figure on own images is below what it was before ${manifest.name} was adapted`;
  const reasons = [kept, ...newSpace(manifest, incumbent)];
  return { decision: 'publish', reasons, checks, incumbent: incumbent?.digest ?? null };
}

/** Reasons that no figure makes good. */
function refusal({ digest, manifest }: Candidate, incumbent: Incumbent | undefined): GateDecision | undefined {
  if (incumbent?.digest === digest)
    return reject(incumbent, [], [`${manifest.name} ${manifest.version} is current already`]);
  if (incumbent === undefined || incumbent.manifest.name === manifest.name) return undefined;
  const names = `${manifest.name} would replace ${incumbent.manifest.name}`;
  return reject(incumbent, [], [`${names}: a model replaces only one of its own name`]);
}

/**
 * What a person took out of use stays out, whatever its figures: they were good enough when it was published, too. A schedule asks for
 * the same model every week.
 */
function verdictOfPeople({ digest, manifest }: Candidate, incumbent: Incumbent | undefined): string[] {
  const move = incumbent?.replaced.get(digest);
  if (move === undefined) return [];
  const how = move.action === 'rollback' ? 'was rolled back' : 'gave way to a model that a person published';
  const back = `npm run model -- rollback ${manifest.name} --to ${digest} brings it back`;
  return [`${manifest.name} ${manifest.version} ${how} on ${move.moved_at} (${move.reasons.join('; ')}): ${back}`];
}

function reject(incumbent: Incumbent | undefined, checks: GateCheck[], reasons: string[]): GateDecision {
  return { decision: 'reject', reasons, checks, incumbent: incumbent?.digest ?? null };
}

/** A figure that is missing or not finite fails: nothing is published on trust. */
function check({ metric, bound, limit }: Bound, metrics: Readonly<Record<string, number>>): GateCheck {
  const measured = metrics[metric];
  const value = measured !== undefined && Number.isFinite(measured) ? measured : null;
  const passed = value !== null && (bound === 'min' ? value >= limit : value <= limit);
  return { name: metric, value, limit, bound, passed };
}

function sentence({ name, value, limit, bound }: GateCheck): string {
  if (value === null)
    return `${name} was not measured; ${bound === 'min' ? 'at least' : 'at most'} ${shown(limit)} is needed`;
  return `${name} is ${shown(value)}; ${bound === 'min' ? 'at least' : 'at most'} ${shown(limit)} is needed`;
}

function grounds(
  { manifest, evaluated }: Candidate,
  incumbent: Incumbent | undefined,
  isComparable: boolean,
): string[] {
  const recall = 'student_int8.mean_recall';
  const now = evaluated.metrics[recall] ?? Number.NaN;
  const reasons: string[] = [];
  if (incumbent === undefined)
    reasons.push(`the first ${manifest.name}: it passes every floor, ${recall} is ${shown(now)}`);
  else if (!isComparable)
    reasons.push(
      'it passes every floor; the incumbent was measured on another dev split, so the two were not compared',
    );
  else {
    const before = incumbent.release.metrics[recall];
    const from = before === undefined ? 'not measured' : shown(before);
    reasons.push(`${recall} is ${shown(now)}, the incumbent's is ${from}; nothing falls further than it may`);
  }
  return [...reasons, ...newSpace(manifest, incumbent)];
}

/** What a publication means for vectors that were stored before; empty where they stay good. */
function newSpace({ space_id }: ModelManifest, incumbent: Incumbent | undefined): string[] {
  if (incumbent === undefined || incumbent.manifest.space_id === space_id) return [];
  return ['it has a new embedding space: vectors stored with the incumbent have to be made again'];
}

function shown(value: number): string {
  return Number.isInteger(value) ? value.toLocaleString('en-US') : String(Number(value.toFixed(4)));
}
