// Starts the pipeline and its jobs as they are deployed: the rule that new data meets, the schedule, and retries; out of the templates.
import type { ObjectStore } from '../../api/registry/store.ts';
import { FILES } from '../../contracts/src/keys.ts';
import { afterAttempt, RetryStrategy } from '../support/batch-exit.ts';
import { array, one, propertiesOf, record, synthesis, text } from '../support/synthesis.ts';

/** Pointers of datasets and which object each is. */
export async function pointersIn(store: ObjectStore): Promise<Map<string, string>> {
  const keys = (await store.list('datasets/')).map(({ key }) => key).filter((key) => key.endsWith(FILES.pointer));
  return new Map(await Promise.all(keys.map(async (key) => [key, (await store.get(key))?.etag ?? ''] as const)));
}

/** The keys that S3 tells EventBridge of: those that were written since. */
export function written(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  return [...after].flatMap(([key, etag]) => (before.get(key) === etag ? [] : [key]));
}

/** The input of the execution that an object of that key in the training bucket starts; undefined where the rule does not match. */
export function startOfArrival(key: string): Record<string, string> | undefined {
  const { properties } = one(synthesis('dev').templates.training, 'AWS::Events::Rule', 'TrainingArrival');
  const { source, 'detail-type': type, detail } = record(properties.EventPattern);
  const { bucket, object } = record(detail);
  const isOfBucket = array(record(bucket).name).some((name) => text(name).includes('TrainingBucket'));
  const patterns = array(record(object).key).map((pattern) => String(record(pattern).wildcard));
  const matches = (pattern: string): boolean => new RegExp(`^${pattern.split('*').map(escaped).join('.*')}$`).test(key);
  const isMet = array(source).includes('aws.s3') && array(type).includes('Object Created') && isOfBucket;
  if (!isMet || !patterns.some(matches)) return undefined;
  const [target] = array(properties.Targets).map(record);
  const { InputPathsMap, InputTemplate } = record(target?.InputTransformer);
  const event = { detail: { object: { key } } };
  const filled = Object.entries(record(InputPathsMap)).reduce(
    (template, [name, path]) => template.replace(`<${name}>`, JSON.stringify(valueAt(event, String(path)))),
    String(InputTemplate),
  );
  return JSON.parse(filled);
}

const escaped = (words: string): string => words.replace(/[.+?^${}()|[\]\\]/g, '\\$&');

/** `path`: such as `$.detail.object.key`. */
function valueAt(event: unknown, path: string): unknown {
  return path
    .split('.')
    .slice(1)
    .reduce((value, name) => record(value)[name], event);
}

/** The input that the schedule of a recipe gives, with the recipe's name in the place of the one in the settings. */
export function startOfSchedule(recipe: string): Record<string, string> {
  const { properties } = one(synthesis('dev').templates.training, 'AWS::Scheduler::Schedule');
  const input = record(JSON.parse(String(record(properties.Target).Input)));
  return Object.fromEntries(Object.keys(input).map((name) => [name, recipe]));
}

/** Whether every class of job has another attempt after one that ended so. */
export function isRetried(exitCode: number): boolean {
  const definitions = Object.values(propertiesOf(synthesis('dev').templates.training, 'AWS::Batch::JobDefinition'));
  return definitions.every((definition) => {
    return afterAttempt(RetryStrategy.parse(definition.RetryStrategy), 1, { exitCode }) === 'RETRY';
  });
}
