// A folder with a manifest as the publisher sees a model: nothing was trained for it here, and nothing measured on a dev split.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { packCandidate } from '../../../../api/pack/candidate.ts';
import type { Publishable } from '../../../../api/registry/candidate.ts';
import { sha256 } from '../../../../api/registry/digest.ts';
import { readIncumbent } from '../../../../api/registry/history.ts';
import { publishModel, restoreFiles } from '../../../../api/registry/publish.ts';
import { readPointer } from '../../../../api/registry/read.ts';
import type { ObjectStore } from '../../../../api/registry/store.ts';
import { toFileUri } from '../../../../api/registry/stores/file-uri.ts';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { FILES } from '../../../../contracts/src/keys.ts';
import type { ModelManifest } from '../../../../contracts/src/model/manifest.ts';
import type { GateDecision, Published } from '../../../../contracts/src/training/pipeline.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { verifyFolder } from './model-folder.ts';

/** A model's name is that of another one, in whose place it would be put. */
export class NameTaken extends UserError {
  constructor(registry: ObjectStore, { name, version, lineage }: ModelManifest) {
    const whose = lineage.parents.map(({ source }) => source).join(', ') || lineage.recipe;
    super(
      `${name} is the name of another model that is current in ${registry.uri} (${version}, made of ${whose}): vectors that it made would ` +
        `not fit this one. --name gives this one another name, --replace puts it there, and npm run model -- rollback ${name} goes back`,
    );
  }
}

/**
 * Publishes the folder of an imported model. There is no gate, since nothing was trained; a model of another space gives way to
 * `replace` alone. Throws NameTaken.
 */
export async function publishImported(
  registry: ObjectStore,
  folder: string,
  { reason, replace }: { reason: string; replace: boolean },
): Promise<{ published: Published; manifest: ModelManifest }> {
  const candidate = await packCandidate(await modelIn(folder));
  const { manifest } = candidate;
  const incumbent = await readIncumbent(registry, manifest.name);
  if (!replace && incumbent !== undefined && incumbent.manifest.space_id !== manifest.space_id)
    throw new NameTaken(registry, incumbent.manifest);
  const verdict = { decision: 'publish' as const, reasons: [reason], incumbent: incumbent?.digest ?? null };
  return { published: await publishModel(registry, candidate, verdict), manifest };
}

/** What `publish` does with a folder, and whether it is done or, by `check`, only judged. */
export interface FolderPublication {
  decision: GateDecision;
  published: Published | null;
  manifest: ModelManifest;
}

/** Writes again what a registry has lost of the model that is current in it; undefined where that is nothing, or another model is. */
export async function restoreCurrent(
  registry: ObjectStore,
  candidate: Publishable,
): Promise<FolderPublication | undefined> {
  const files = await restoreFiles(registry, candidate);
  const { manifest, digest } = candidate;
  const found = files === 0 ? undefined : await readPointer(registry, manifest.name);
  if (found === undefined) return undefined;
  const reasons = [`${files} of its files were missing there or altered, and were written again`];
  const { name, moved_at } = found.pointer;
  const decision = { decision: 'publish' as const, reasons, checks: [], incumbent: digest };
  return { decision, published: { name, manifest: digest, moved_at }, manifest };
}

/**
 * Publishes what `calibrate` wrote of the current model: the same towers with other scores. Anything else has no figures that a gate
 * could judge, and takes a reason (`force`). Throws a UserError that says so.
 */
export async function publishFolder(
  registry: ObjectStore,
  folder: string,
  { check, force }: { check: boolean; force?: string | undefined },
): Promise<FolderPublication> {
  const candidate = await packCandidate(await modelIn(folder));
  const restored = check ? undefined : await restoreCurrent(registry, candidate);
  if (restored !== undefined) return restored;
  const { manifest } = candidate;
  const incumbent = await readIncumbent(registry, manifest.name);
  if (incumbent?.digest === candidate.digest)
    throw new UserError(`${manifest.name} ${manifest.version} is current in ${registry.uri} already`);
  const isCalibrated = incumbent !== undefined && isDeepStrictEqual(towers(manifest), towers(incumbent.manifest));
  if (!isCalibrated && force === undefined)
    throw new UserError(
      `${folder} is a model without a recipe: its figures are held against no gate. Published of a folder is what calibrate wrote of the ` +
        `model that is current as ${manifest.name}; --force REASON publishes this one all the same`,
    );
  const reason = isCalibrated
    ? `scores and verdicts fitted again: the towers are those of ${incumbent.manifest.version}`
    : `without a gate: ${force}`;
  const decision = {
    decision: 'publish' as const,
    reasons: [reason],
    checks: [],
    incumbent: incumbent?.digest ?? null,
  };
  return { decision, published: check ? null : await publishModel(registry, candidate, decision), manifest };
}

/** What vectors are made of. */
const towers = ({ space_id, text, tiny, static: table, image }: ModelManifest): object => ({
  space_id,
  text,
  tiny,
  table,
  image,
});

async function modelIn(folder: string): Promise<Publishable> {
  const manifest = await verifyFolder(folder);
  const bytes = new Uint8Array(readFileSync(join(folder, FILES.manifest)));
  const { metrics } = manifest;
  const run = openStore(toFileUri(folder));
  return { run, base: '', bytes, digest: await sha256(bytes), manifest, evaluated: { metrics }, dev_data: null };
}
