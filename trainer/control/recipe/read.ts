// Reads a recipe file, or lists everything that is wrong with it: where, what, and what is allowed.
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { STAGE_NAMES } from '../../../contracts/src/stages.ts';
import { Recipe } from '../../../contracts/src/training/recipe.ts';
import { Schedule } from '../../../contracts/src/training/stages/blocks.ts';
import { UserError } from '../../../contracts/src/user-error.ts';

/** Reads and checks a recipe. Throws a UserError with one line per problem. */
export function readRecipe(file: string): Recipe {
  if (!existsSync(file)) throw new UserError(`there is no recipe ${file}`);
  let document: unknown;
  try {
    document = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw new UserError(`${file} is not JSON: ${error.message}`);
    throw error;
  }
  const result = Recipe.safeParse(document);
  const problems = result.success
    ? contradictions(result.data)
    : result.error.issues.map((issue) => sentence(issue, document));
  if (!result.success || problems.length > 0) {
    throw new UserError(
      `${file} has ${problems.length} problem${problems.length === 1 ? '' : 's'}:\n  ${problems.join('\n  ')}`,
    );
  }
  return result.data;
}

/** Values that are each allowed but not together: a stage would fail on them hours later, or train to no effect. */
export function contradictions(recipe: Recipe): string[] {
  const { contrastive, embed_captions, embed_images, inherit, clip, distill } = recipe;
  const problems: string[] = [];
  const expect = (holds: boolean, sentence: string): void => {
    if (!holds) problems.push(sentence);
  };
  for (const key of ['adapter', 'embed_dim'] as const) {
    const [first, second] = [JSON.stringify(inherit[key]), JSON.stringify(clip[key])];
    expect(
      first === second,
      `inherit.${key} is ${first} but clip.${key} is ${second}: clip goes on with what inherit trained`,
    );
  }
  const [backbone, embedded] = [JSON.stringify(inherit.backbone), JSON.stringify(embed_images.backbone)];
  expect(
    backbone === embedded,
    `inherit.backbone is ${backbone} but embed_images.backbone is ${embedded}: clip needs both from one tower`,
  );
  expect(
    contrastive.pooling === embed_captions.pooling,
    `embed_captions.pooling is "${embed_captions.pooling}" but contrastive trained for "${contrastive.pooling}"`,
  );
  expect(
    Math.max(...distill.matryoshka_dims) === clip.embed_dim,
    `distill.matryoshka_dims: the largest is ${Math.max(...distill.matryoshka_dims)}; it has to be clip.embed_dim, ${clip.embed_dim}`,
  );
  expect(
    distill.width % distill.heads === 0,
    `distill.width ${distill.width} is not a multiple of distill.heads ${distill.heads}`,
  );
  const { width, heads } = clip.scratch;
  expect(width % heads === 0, `clip.scratch.width ${width} is not a multiple of clip.scratch.heads ${heads}`);
  expect(
    embed_images.crop_scale[0] <= embed_images.crop_scale[1],
    `embed_images.crop_scale: the smaller fraction comes first, not ${embed_images.crop_scale.join(', ')}`,
  );
  const { train, dev } = {
    train: recipe.prepare.pairs.some(isSplit('train')),
    dev: recipe.prepare.pairs.some(isSplit('dev')),
  };
  expect(train && dev, 'prepare.pairs: at least one source of split "train" and one of split "dev" are needed');
  for (const [name, { steps, warmup_steps }] of schedulesOf(recipe)) {
    expect(warmup_steps <= steps, `${name}.warmup_steps is ${warmup_steps}, more than its ${steps} steps`);
  }
  return problems;
}

/** Every schedule of a recipe by its path, in whatever block of a stage it is. */
function schedulesOf(recipe: Recipe): [string, Schedule][] {
  const found: [string, Schedule][] = [];
  const walk = (path: string, value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const { success, data } = Schedule.safeParse(value);
    if (success) found.push([path, data]);
    else for (const [key, member] of Object.entries(value)) walk(`${path}.${key}`, member);
  };
  for (const stage of STAGE_NAMES) walk(stage, recipe[stage]);
  return found;
}

function isSplit(wanted: 'train' | 'dev'): (source: { split: string }) => boolean {
  return function ofThatSplit({ split }) {
    return split === wanted;
  };
}

/** One issue as a line: `clip.text_tower: "gpt" is not allowed; use one of "llm", "scratch"`. */
function sentence(issue: z.core.$ZodIssue, document: unknown): string {
  const where = issue.path.length === 0 ? '' : `${pathText(issue.path)}: `;
  const value = valueAt(document, issue.path);
  switch (issue.code) {
    case 'unrecognized_keys': {
      const allowed = keysAt(issue.path);
      const names = issue.keys.map((key) => `"${key}"`).join(', ');
      return `${where}unknown key ${names}${allowed.length === 0 ? '' : `; allowed here: ${allowed.join(', ')}`}`;
    }
    case 'invalid_value': {
      const allowed = `one of ${issue.values.map((one) => JSON.stringify(one)).join(', ')}`;
      return value === undefined
        ? `${where}missing; use ${allowed}`
        : `${where}${shown(value)} is not allowed; use ${allowed}`;
    }
    case 'invalid_type':
      return value === undefined
        ? `${where}missing (${issue.expected})`
        : `${where}expected ${issue.expected}, got ${shown(value)}`;
    default:
      return `${where}${issue.message.charAt(0).toLowerCase()}${issue.message.slice(1)}${value === undefined ? '' : `, got ${shown(value)}`}`;
  }
}

function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index === 0 ? '' : '.'}${String(key)}`))
    .join('');
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function valueAt(document: unknown, path: readonly PropertyKey[]): unknown {
  let value = document;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = Object.entries(value).find(([name]) => name === String(key))?.[1];
  }
  return value;
}

/** The keys that the contract allows in the object at `path`. */
function keysAt(path: readonly PropertyKey[]): string[] {
  let schema: unknown = Recipe;
  for (const key of path) {
    while (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) schema = schema.unwrap();
    if (schema instanceof z.ZodObject) schema = schema.shape[String(key)];
    else if (schema instanceof z.ZodArray) schema = schema.element;
  }
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}
