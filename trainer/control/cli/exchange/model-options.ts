// The options of `npm run model`: its help, and which of its commands takes which.
import { readCommandLine } from '../../../../contracts/command/command-line.ts';
import { ENVARS } from '../../../../contracts/src/envars.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { COLUMN_OPTIONS, columnHelp } from '../datasets/columns.ts';

export const MODEL_HELP = `Usage: npm run model -- list [NAME] [options]
       npm run model -- publish recipes/NAME.json | FOLDER [options]
       npm run model -- rollback NAME [options]
       npm run model -- export NAME --format FORMAT [options]
       npm run model -- import SOURCE [--name NAME] [options]
       npm run model -- calibrate NAME --images PATH --model-version TEXT [--to FOLDER] [options]

A registry holds models by digest and, for each name, a pointer to the current one. Servers follow the pointer.

  list            the current model and every release of it, the newest first; without NAME the names there are
  publish         pack the text weights of the recipe's finished model, embed its golden texts with them, hold it against the gate
                  and, if it passes, publish it: files, manifest, pointer. Of a folder with manifest.json, which has no figures for the
                  gate: what calibrate wrote of the current model, anything else with --force
  rollback        point back to the model before the current one; nothing is copied or deleted
  export          write a model for another library: its current one, the embedded one, or that of a folder with manifest.json
  import          make a published CLIP or SigLIP a model and publish it: a folder of transformers or open_clip, or a file
                  of weights with --architecture. With --distil a small text student learns its text vectors from captions
                  first, where no isolate holds its own text tower; it says how long that takes, and Ctrl-C keeps what was
                  done
  calibrate       fit again what scores and verdicts of a model mean, on images with captions that it did not learn from, and
                  write a new version into a folder of its own: every other file, and the space, stay byte for byte. For a model that was
                  imported or fine-tuned, whose searches have no verdict. NAME is as for export

  --registry URI  file:// or s3:// (default $${ENVARS.registry}, else registry/ in the repository, which \`npm start\` follows)
  --check         publish: only ask the gate; exit 1 if it rejects
  --force REASON  publish: in spite of the gate, or without one; the reason is kept with the release
  --runs DIR      publish, import --distil: where the recipe's runs are (default runs/ in the repository); export: where the
                  runs of distill and clip may be, whose float weights are taken where the model was exported from them
  --to DIGEST     rollback: to this manifest, as list shows it
  --to FOLDER     export, calibrate: a folder that is not there yet (default NAME.FORMAT here; NAME-VERSION here, or beside the folder)
  --images PATH   calibrate: images with captions, at least 100, of which 50 have two; any form that finetune reads
${columnHelp(18, 'calibrate: ')}
  --format FORMAT export: hf, onnx, open_clip, safetensors or sentence-transformers
  --tier TIER,…   export: these text tiers only; image: the image tower alone (hf, onnx)
  --name NAME     import: the model's name (default: that of the folder or file, or of the model in Hugging Face's cache)
  --replace       import: take the place of a model of that name that came from elsewhere
  --model-version TEXT   import, calibrate: kept in the manifest (default of import: 1)
  --licence TEXT  import: kept in the manifest (default: not stated)
  --architecture NAME   import: open_clip's name of what a file of weights belongs to
  --distil        import: train text students, as trainer/recipes/imitate.json says; its texts are those of the recipe, or of
  --captions FILE      a caption a line, JSON lines or a table with a column caption, captions or text
  --language-model FOLDER   import --distil of LLM2CLIP's layouts: computes the captions' vectors by its language model first, once for
                       all image towers; --template TEXT is what a text is wrapped in, with the text at {}, --add-bos has the
                       tokenizer's first token before it, --max-tokens N are read (default 512)
  --features FILE      or the vectors, computed elsewhere: safetensors with features [N, D], a row a caption
  --steps N, --recipe FILE   of the student, and what the students' recipe extends instead of imitate
  --reason TEXT   rollback: why; kept with the release
  --on aws        runs and registry of the deployment, by --outputs FILE (default the only cdk-outputs*.json here)
  --json          one JSON object instead of text; what is said while it works goes to standard error
  --help          this text
  --version       the version of this program

An S3 registry that is not AWS's own: $${ENVARS.registryEndpoint} is its endpoint, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY its keys.
Exit codes: 0 done, 1 the gate rejected the model, 2 refused: what cannot be expressed in a format, for instance.
`;

export interface ModelOptions {
  registry?: string | undefined;
  check: boolean;
  force?: string | undefined;
  runs?: string | undefined;
  to?: string | undefined;
  reason?: string | undefined;
  format?: string | undefined;
  tier?: string | undefined;
  name?: string | undefined;
  'model-version'?: string | undefined;
  licence?: string | undefined;
  architecture?: string | undefined;
  replace: boolean;
  distil: boolean;
  captions?: string | undefined;
  features?: string | undefined;
  'language-model'?: string | undefined;
  template?: string | undefined;
  'add-bos': boolean;
  'max-tokens'?: string | undefined;
  steps?: string | undefined;
  recipe?: string | undefined;
  images?: string | undefined;
  'image-column'?: string | undefined;
  'caption-column'?: string | undefined;
  'class-column'?: string | undefined;
  on?: string | undefined;
  outputs?: string | undefined;
  json: boolean;
}

const OPTIONS = {
  registry: { type: 'string' },
  check: { type: 'boolean', default: false },
  force: { type: 'string' },
  runs: { type: 'string' },
  to: { type: 'string' },
  reason: { type: 'string' },
  format: { type: 'string' },
  tier: { type: 'string' },
  name: { type: 'string' },
  'model-version': { type: 'string' },
  licence: { type: 'string' },
  architecture: { type: 'string' },
  replace: { type: 'boolean', default: false },
  distil: { type: 'boolean', default: false },
  captions: { type: 'string' },
  features: { type: 'string' },
  'language-model': { type: 'string' },
  template: { type: 'string' },
  'add-bos': { type: 'boolean', default: false },
  'max-tokens': { type: 'string' },
  steps: { type: 'string' },
  recipe: { type: 'string' },
  images: { type: 'string' },
  ...COLUMN_OPTIONS,
  on: { type: 'string' },
  outputs: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

const COMMANDS = ['list', 'publish', 'rollback', 'export', 'import', 'calibrate'] as const;
type ModelCommand = (typeof COMMANDS)[number];

/** Options that some commands alone take. */
const OWNERS: Record<string, readonly ModelCommand[]> = {
  check: ['publish'],
  force: ['publish'],
  runs: ['publish', 'export', 'import'],
  to: ['rollback', 'export', 'calibrate'],
  reason: ['rollback'],
  format: ['export'],
  tier: ['export'],
  name: ['import'],
  'model-version': ['import', 'calibrate'],
  images: ['calibrate'],
  'image-column': ['calibrate'],
  'caption-column': ['calibrate'],
  'class-column': ['calibrate'],
  licence: ['import'],
  architecture: ['import'],
  replace: ['import'],
  distil: ['import'],
  captions: ['import'],
  features: ['import'],
  'language-model': ['import'],
  template: ['import'],
  'add-bos': ['import'],
  'max-tokens': ['import'],
  steps: ['import'],
  recipe: ['import'],
};

const ASKED: Record<Exclude<ModelCommand, 'list'>, string> = {
  publish: 'publish which recipe, or which folder?',
  rollback: 'roll back which model? list shows their names',
  export: 'export which model? list shows their names',
  calibrate: 'calibrate which model? Its folder, or a name that list shows',
  import: 'import what? A folder of transformers or open_clip, or a file of weights',
};

/** Refuses an option that goes with another command. */
export function parseModelOptions(argv: readonly string[]): {
  command: ModelCommand;
  subject: string;
  options: ModelOptions;
} {
  const { values, words } = readCommandLine(argv, { help: MODEL_HELP, options: OPTIONS, words: 2 });
  const [word, subject = ''] = words;
  const command = COMMANDS.find((name) => name === word);
  if (command === undefined)
    throw new UserError(`${word ?? 'no command'}: there are ${COMMANDS.join(', ')}\n\n${MODEL_HELP}`);
  if (subject === '' && command !== 'list') throw new UserError(ASKED[command]);
  const given = new Map(Object.entries(values));
  for (const [option, owners] of Object.entries(OWNERS)) {
    const value = given.get(option);
    if (value !== undefined && value !== false && !owners.includes(command))
      throw new UserError(`--${option} goes with ${owners.join(' and ')}, not with ${command}`);
  }
  if (values.on !== undefined && values.on !== 'aws') throw new UserError(`--on ${values.on}: there is only aws`);
  if (values.on === 'aws' && values.runs !== undefined)
    throw new UserError('--on aws has its runs in its bucket: --runs does not go with it');
  return { command, subject, options: values };
}
