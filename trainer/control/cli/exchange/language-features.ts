// `npm run model -- import --distil --language-model`: the vectors of captions that LLM2CLIP's students learn from, computed once.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { sha256Of } from '../../../../api/registry/stores/hash.ts';
import { wholeNumberOf } from '../../../../contracts/command/numbers.ts';
import { EXIT } from '../../../../contracts/src/exit-codes.ts';
import { hexOf } from '../../../../contracts/src/keys.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { existing, indexFolder } from '../../recipe/locate.ts';
import { type CommandContext, runsFolder } from '../context.ts';
import { runPython } from '../python.ts';

export interface LanguageOptions {
  'language-model'?: string | undefined;
  template?: string | undefined;
  'add-bos': boolean;
  'max-tokens'?: string | undefined;
  captions?: string | undefined;
  features?: string | undefined;
  runs?: string | undefined;
  json: boolean;
}

/** How a language model reads a text. */
const READING = ['template', 'add-bos', 'max-tokens'] as const;
/** Of every runs folder: the vectors serve all image towers that were trained with the same language model. */
const FOLDER = 'language-features';
const MAX_TOKENS = 512;
/** What LLM2CLIP's authors wrap a text in, as a shell wants it. */
const THEIRS = "--add-bos --template $'<|start_header_id|>user<|end_header_id|>\\n\\n{}<|eot_id|>'";

/** A file of vectors that is to be there before students are trained. */
export interface LanguageFeatures {
  languageModel: string;
  file: string;
  /** Computes the file where it is missing; goes on where an earlier call was stopped. Resolves to an exit code. */
  write(): Promise<number>;
}

/** Refuses options that do not go together; undefined where no language model is named. */
export function checkLanguage(options: LanguageOptions): void {
  const { captions, features, template } = options;
  if (options['language-model'] === undefined) {
    const lonely = READING.find((option) => options[option] !== undefined && options[option] !== false);
    if (lonely !== undefined) throw new UserError(`--${lonely} goes with --language-model, which says whose vectors`);
    return;
  }
  if (features !== undefined)
    throw new UserError('--language-model computes what --features FILE holds: name one of them');
  if (captions === undefined)
    throw new UserError('--language-model needs --captions FILE: the texts whose vectors it computes');
  if (template === undefined)
    throw new UserError(
      `--language-model needs --template TEXT: what a text is wrapped in, with the text at {}. LLM2CLIP's language models: ${THEIRS}. ` +
        "Nothing: --template '{}'",
    );
  if (template.split('{}').length !== 2) throw new UserError(`--template ${template}: the text stands at {}, once`);
  wholeNumberOf('--max-tokens', options['max-tokens'], { from: 1 });
}

/** Where the vectors of these captions by this language model are, by the content of both; undefined where none is named. */
export async function languageFeatures(
  options: LanguageOptions,
  context: CommandContext,
): Promise<LanguageFeatures | undefined> {
  const { captions, template } = options;
  const named = options['language-model'];
  if (named === undefined || captions === undefined || template === undefined) return undefined;
  const path = (word: string): string => existing(resolve(context.cwd, word), word);
  const [languageModel, texts] = [path(named), path(captions)];
  const maxTokens = wholeNumberOf('--max-tokens', options['max-tokens'], { from: 1 }) ?? MAX_TOKENS;
  const runs = runsFolder(options, context);
  const onRead = (bytes: number): void => {
    if (bytes > 1e9) context.stderr.write(`reading ${(bytes / 1e9).toFixed(1)} GB to know them by their content\n`);
  };
  const content: string[] = [];
  for (const place of [languageModel, texts]) content.push((await indexFolder(place, runs, onRead)).digest);
  const key = hexOf(sha256Of(JSON.stringify([content, template, options['add-bos'], maxTokens])));
  const file = join(runs, FOLDER, `${key.slice(0, 16)}.safetensors`);
  const flags = [
    `--language-model=${languageModel}`,
    `--template=${template}`,
    ...(options['add-bos'] ? ['--add-bos'] : []),
    `--captions=${texts}`,
    `--max-tokens=${maxTokens}`,
    `--to=${file}`,
  ];
  async function write(): Promise<number> {
    if (existsSync(file)) return EXIT.ok;
    const said: string[] = [];
    const stdout = { write: (text: string) => said.push(text) };
    const asked = ['-m', 'exchange', 'features', ...flags, ...(options.json ? ['--json'] : [])];
    const code = await runPython(asked, { ...context, stdout });
    if (code !== EXIT.ok) context.stdout.write(said.join('')); // a refusal
    if (code === EXIT.interrupted)
      context.stderr.write('Vectors that are finished are kept: the same command goes on.\n');
    return code;
  }
  return { languageModel, file, write };
}
