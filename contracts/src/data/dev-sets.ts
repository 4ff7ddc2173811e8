// The dev sets by name, with the files of the data folder that each is read from. What is done with them: trainer/evaluation.
import * as z from 'zod';

const FLICKR = ['flickr8k/flickr8k-dev.captions.jsonl', 'flickr8k/flickr8k-dev-000.tar'];
const NAMES = 'imagenet1k-sample/classes.json';
const SAMPLE = ['imagenet1k-sample/imagenet1k-sample.tar', 'imagenet1k-sample/imagenet1k-sample.jsonl', NAMES];

const labelled = (...sets: string[]): string[] =>
  sets.flatMap((name) => [`images/${name}-000.tar`, `images/${name}.jsonl`]);
const unseen = (...sets: string[]): string[] => [...labelled(...sets), 'text/imagenet-classes.jsonl.gz'];

export const DEV_SETS = {
  flickr: FLICKR,
  'flickr-compact': FLICKR,
  'flickr-zh': [...FLICKR, 'text/flickr8k-cn.dev.jsonl.gz'],
  'imagenet-sample': SAMPLE,
  'imagenet-sample-80': SAMPLE,
  'imagenet-ccby': [...labelled('imagenet-ccby'), NAMES],
  cifar10: ['cifar10-mini/cifar10-mini.tar', 'cifar10-mini/cifar10-mini.jsonl', NAMES],
  grocery: ['grocery/grocery-val.tar', 'grocery/grocery-val.jsonl', 'grocery/classes.json', NAMES],
  'unseen-nouns': unseen('nouns', 'objects', 'food', 'products'),
  'unseen-caltech101': unseen('caltech101'),
  'unseen-birds': unseen('birds'),
  multi30k: ['text/multi30k-en-de-fr-cs.dev.jsonl.gz', 'text/multi30k-more.dev.jsonl.gz'],
  stsb: ['text/stsb.dev.jsonl.gz'],
  long: ['text/long-captions.dev.jsonl.gz'],
  absent: [...FLICKR, ...labelled('objects'), 'images/nouns.jsonl'],
  'minimal-pairs': FLICKR,
  typing: FLICKR,
} as const satisfies Record<string, readonly string[]>;

export const DevSetName = z.enum(Object.keys(DEV_SETS) as [keyof typeof DEV_SETS, ...(keyof typeof DEV_SETS)[]]).meta({
  title: 'DevSetName',
  description: 'A dev set that an exported model can be measured on.',
});
export type DevSetName = z.infer<typeof DevSetName>;
