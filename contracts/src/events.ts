// Lines of JSON that one process prints and another one reads.

import * as z from 'zod';
import { ErrorCode } from './api/error.ts';
import { DOORS } from './api/operation.ts';
import { BulkDone, BulkEstimate } from './bulk/job.ts';
import { jsonIn } from './json.ts';
import { Digest } from './model/artefact.ts';

const reason = z.string().describe('A sentence that says why.');
const event = <Name extends string>(name: Name) => z.literal(name).describe('Name of the event.');
const manifest = Digest.describe('Digest of the manifest of the published model.');

/** Printed by every host that follows a model registry. */
export const FollowEvent = z
  .discriminatedUnion('event', [
    z
      .strictObject({
        event: event('model_current'),
        model: z.string().describe('Name of the model.'),
        version: z.string().describe('Its version.'),
        manifest,
        was: z.string().optional().describe('Version that was current before.'),
        milliseconds: z.number().nonnegative().optional().describe('How long it took to open and verify the model.'),
        space_id: Digest.optional().describe('The space of its vectors.'),
      })
      .meta({ title: 'ModelCurrent', description: 'A published model answers from now on.' }),
    z
      .strictObject({ event: event('model_refused'), manifest, reason })
      .meta({ title: 'ModelRefused', description: 'The published model cannot be served; the one before it stays.' }),
    z
      .strictObject({ event: event('model_waits'), manifest, reason })
      .meta({ title: 'ModelWaits', description: 'The published model cannot be served yet.' }),
    z
      .strictObject({ event: event('model_not_closed'), reason })
      .meta({ title: 'ModelNotClosed', description: 'A model that was replaced could not be closed.' }),
    z
      .strictObject({ event: event('registry_unreadable'), reason })
      .meta({ title: 'RegistryUnreadable', description: 'The pointer could not be read; printed once until it can.' }),
  ])
  .meta({ title: 'FollowEvent', description: 'What happened to the model that a host serves.' });
export type FollowEvent = z.infer<typeof FollowEvent>;

const hex = (digits: number) => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`));
const amount = z.int().nonnegative();

/** Printed by the Worker after every request; it holds nothing of what was sent. */
export const RequestEvent = z
  .strictObject({
    event: event('request'),
    request_id: z.string().describe('The same as in the header `x-request-id`.'),
    trace_id: hex(32).describe('Trace of the W3C trace context that the request belongs to.'),
    span_id: hex(16).describe("The request's own span."),
    parent_id: hex(16).optional().describe("The caller's span; absent where the caller sent no valid `traceparent`."),
    method: z.string().describe('HTTP method.'),
    operation: z.string().nullable().describe('Operation id; null where there is none of that path.'),
    door: z.enum(DOORS).describe('In whose form the operation speaks.'),
    status: z.int().describe('HTTP status of the answer.'),
    code: ErrorCode.optional().describe('What went wrong.'),
    ms: z
      .number()
      .nonnegative()
      .describe('Wall time in milliseconds; on the platform computing does not move the clock.'),
    model: z.string().optional().describe('Id of the model that answered.'),
    tokens: amount.describe('Tokens of texts that were read.'),
    images: amount.describe('Images that were embedded.'),
    pixels: amount.optional().describe('Their pixels, where they are known.'),
    key: z.string().optional().describe("Prefix of the caller's key."),
    cache: z.string().optional().describe('What the cache knew of the request.'),
  })
  .meta({ title: 'RequestEvent', description: 'A request that was answered.' });
export type RequestEvent = z.infer<typeof RequestEvent>;

/** Printed by a server that was given port 0 or whose parent waits for it. */
export const ListeningLine = z
  .strictObject({
    event: event('listening'),
    port: z.int().min(1).max(65_535).describe('TCP port on 127.0.0.1.'),
  })
  .meta({ title: 'ListeningLine', description: 'The server accepts connections.' });
export type ListeningLine = z.infer<typeof ListeningLine>;

/** Printed by the bulk encoder. */
const hours = z.number().nonnegative();
const VideoRate = z
  .strictObject({
    hours: hours.describe('Hours of a machine for an hour of video.'),
    usd: z
      .number()
      .nonnegative()
      .nullable()
      .describe('Dollars for them; null: the machine is not paid for by the hour.'),
    most_hours: hours.describe('Hours of a machine for one video at most: a longer one is refused.'),
  })
  .meta({ title: 'VideoRate', description: 'What videos of 640 x 480 pixels and 25 frames a second take.' });

export const BulkEvent = z
  .discriminatedUnion('event', [
    z
      .strictObject({
        event: event('progress'),
        shard: z.int().nonnegative().describe('Number of the shard.'),
        items: z.int().nonnegative().describe('Items of it that are embedded or refused.'),
        frames: amount.describe('Frames of its videos that are embedded.'),
        seconds: z.number().nonnegative().describe('Seconds of this run.'),
      })
      .meta({ title: 'BulkProgress', description: 'How far the shard is.' }),
    z
      .strictObject({
        event: event('planned'),
        job: z.string().describe('Id of the job.'),
        shards: amount.describe('Shards in all.'),
        items: amount.nullable().describe('Items in all; null where tars or videos were not opened to count them.'),
        skipped: amount.describe('Files of a prefix that are not read.'),
        estimate: BulkEstimate.nullable().describe('What it takes here; null where tars or videos were not opened.'),
        estimate_on_aws: BulkEstimate.nullable().describe('The same shards as an array job of AWS Batch.'),
        children_on_aws: amount.describe(
          'Children of that array job, each of which is about a quarter of an hour of work.',
        ),
        child_on_aws: z
          .strictObject({
            processes: amount.describe('Processes that encode its shards, one a core.'),
            memory_mib: amount.describe('Memory that they share, in MiB.'),
          })
          .meta({ title: 'BulkChild', description: 'What each of them has.' }),
        video: VideoRate.nullable().describe(
          'What videos take here, which are not opened to count their frames; null: none is read.',
        ),
        video_on_aws: VideoRate.nullable().describe('The same on AWS.'),
      })
      .meta({ title: 'BulkPlanned', description: 'The job is cut into shards.' }),
    z
      .strictObject({ event: event('done'), ...BulkDone.shape })
      .meta({ title: 'BulkFinished', description: 'The shard is finished: BulkDone as an event.' }),
    z
      .strictObject({
        event: event('job'),
        job: z.string().describe('Id of the job.'),
        shards: amount.describe('Shards in all.'),
        shards_done: amount.describe('Shards that are finished, earlier runs included.'),
        items: amount.nullable().describe('Items in all; null where tars or videos were not opened to count them.'),
        items_done: amount.describe('Items that have a vector or an error, earlier runs included.'),
        items_failed: amount.describe('Items of finished shards that have an error.'),
        frames_running: amount.describe('Frames of videos that are embedded in shards that are not finished.'),
        seconds: z.number().nonnegative().describe('Seconds of this run.'),
        seconds_left: z.number().nonnegative().nullable().describe('Seconds to go; null while there is no rate.'),
      })
      .meta({ title: 'BulkJobProgress', description: 'How far the job is.' }),
  ])
  .meta({ title: 'BulkEvent', description: 'One line of the bulk encoder.' });
export type BulkEvent = z.infer<typeof BulkEvent>;

/** The event of one line; undefined where the line is something else. */
export function readEvent<T>(schema: z.ZodType<T>, line: string): T | undefined {
  return line.startsWith('{') ? schema.safeParse(jsonIn(line)).data : undefined;
}
