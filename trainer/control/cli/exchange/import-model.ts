// `npm run model -- import`: a published checkpoint becomes a model of the registry, as it is or with text students.
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, extname, join, resolve } from 'node:path';
import { packCandidate } from '../../../../api/pack/candidate.ts';
import type { Publishable } from '../../../../api/registry/candidate.ts';
import { sha256 } from '../../../../api/registry/digest.ts';
import { readIncumbent } from '../../../../api/registry/history.ts';
import { publishModel } from '../../../../api/registry/publish.ts';
import type { ObjectStore } from '../../../../api/registry/store.ts';
import { toFileUri } from '../../../../api/registry/stores/file-uri.ts';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { ENVARS } from '../../../../contracts/src/envars.ts';
import { EXIT } from '../../../../contracts/src/exit-codes.ts';
import { FILES } from '../../../../contracts/src/keys.ts';
import { ModelManifest } from '../../../../contracts/src/model/manifest.ts';
import { ModelName } from '../../../../contracts/src/names.ts';
import type { Published } from '../../../../contracts/src/training/pipeline.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import type { CommandContext } from '../context.ts';
import { runPython } from '../python.ts';
import { type DistilOptions, trainStudents } from './students.ts';

export interface ImportOptions extends DistilOptions {
  name?: string | undefined;
  'model-version'?: string | undefined;
  licence?: string | undefined;
  distil: boolean;
}

/** Options that mean nothing without students. */
const FOR_STUDENTS = [
  'captions',
  'features',
  'language-model',
  'template',
  'add-bos',
  'max-tokens',
  'recipe',
  'steps',
  'runs',
] as const;

/** Resolves to the exit code. */
export async function importModel(
  source: string,
  options: ImportOptions,
  { registry, context }: { registry: ObjectStore; context: CommandContext },
): Promise<number> {
  const path = resolve(context.cwd, source);
  const name = options.name ?? basename(path, extname(path)).toLowerCase();
  if (!ModelName.safeParse(name).success)
    throw new UserError(
      `${name} is not a name for a model: give one with --name, of small letters, digits and hyphens`,
    );
  const lonely = FOR_STUDENTS.find((option) => options[option] !== undefined && options[option] !== false);
  if (!options.distil && lonely !== undefined) throw new UserError(`--${lonely} goes with import --distil`);
  const students = options.distil ? await trainStudents(path, name, { options, context }) : undefined;
  if (typeof students === 'number') return students;
  const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'import-')));
  try {
    const to = join(scratch, 'model');
    const photos = join(context.root, 'api', 'playground', 'samples');
    const { architecture, licence } = options;
    const given = Object.entries({
      name,
      to,
      photos,
      'model-version': options['model-version'],
      architecture,
      licence,
      students,
    });
    const flags = given.flatMap(([option, value]) => (value === undefined ? [] : [`--${option}=${value}`]));
    // What Python prints is of a folder that is gone in a moment.
    const silent = { ...context, stdout: { write: () => true } };
    const code = await runPython(['-m', 'exchange', 'import', path, ...flags], silent);
    if (code !== EXIT.ok) return code;
    const reason = `imported from ${basename(path)}${options.distil ? ', with text students' : ''}`;
    const { published, manifest } = await publishImported(registry, to, reason);
    const { metrics, version } = manifest;
    const figures = Object.entries(metrics).map(([figure, value]) => `  ${figure} ${value.toFixed(5)}`);
    const lines = [
      `${name} ${version} is current in ${registry.uri}:`,
      ...figures,
      `${ENVARS.modelName}=${name} npm start serves it`,
    ];
    context.stdout.write(options.json ? `${JSON.stringify({ ...published, metrics })}\n` : `${lines.join('\n')}\n`);
    return EXIT.ok;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Publishes the folder of an imported model, whatever is current: there is no gate, since nothing was trained. */
export async function publishImported(
  registry: ObjectStore,
  folder: string,
  reason: string,
): Promise<{ published: Published; manifest: ModelManifest }> {
  const candidate = await packCandidate(await modelIn(folder));
  const { manifest } = candidate;
  const incumbent = await readIncumbent(registry, manifest.name);
  const verdict = { decision: 'publish' as const, reasons: [reason], incumbent: incumbent?.digest ?? null };
  return { published: await publishModel(registry, candidate, verdict), manifest };
}

/** The folder of an imported model as the publisher sees one: there was no training, and no dev split. */
async function modelIn(folder: string): Promise<Publishable> {
  const bytes = new Uint8Array(readFileSync(join(folder, FILES.manifest)));
  const manifest = ModelManifest.parse(JSON.parse(new TextDecoder().decode(bytes)));
  const { metrics } = manifest;
  const run = openStore(toFileUri(folder));
  return { run, base: '', bytes, digest: await sha256(bytes), manifest, evaluated: { metrics }, dev_data: null };
}
