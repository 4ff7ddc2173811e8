// POST /embed: texts and images in, embeddings in the same order out.
import type { z } from 'zod';
import {
  type EmbeddingItem,
  type EmbeddingType,
  EmbedRequest,
  type EmbedResponse,
  type FailedItem,
  type PartialEmbedResponse,
} from '../../../contracts/src/api/embed.ts';
import { type Embedded, type EmbedOutput, embed, embedPartially } from '../../core/embed.ts';
import { errorMember } from '../../core/error-document.ts';
import { CoreError } from '../../core/errors.ts';
import { toItem, withBytes } from '../../core/items/content.ts';
import type { Item } from '../../core/items/items.ts';
import { type Planning, planEmbed } from '../../core/plan.ts';
import { parseRequest } from '../../core/validation.ts';
import { encodeEmbedding, encodeEmbeddings, type Quantisation } from '../../core/vectors/vectors.ts';
import type { Call } from '../dependencies.ts';
import { jobInstead, type Naming } from '../doors/job-instead.ts';
import { readJsonOrForm } from '../http/body.ts';
import { parseEmbedForm } from '../http/form.ts';
import type { Reply } from '../http/reply.ts';
import { answer, asksFirst, isTeiBody, refuseDryRun } from './answer.ts';
import { jobUriOf, withUploads } from './uploads.ts';

export async function embedRoute(call: Call): Promise<Reply> {
  const body = await readJsonOrForm(call.request);
  if ('json' in body && isTeiBody(body.json)) {
    refuseDryRun(call);
    const { teiEmbed } = await import('../doors/tei.ts');
    return teiEmbed(call, body.json);
  }
  const sent = 'form' in body ? parseEmbedForm(body.form) : parseBody(body.json);
  const job = asksFirst(call.request) ? undefined : await jobInstead(call, sent, namingOf(call));
  if (job) return job;
  const { on_error: onError } = sent;
  const asked = { ...sent, input: (await withUploads(call, sent.input, { onError })).map(withBytes) };
  const types: EmbeddingType[] = [...new Set<EmbeddingType>(asked.types ?? ['float'])];
  const task = {
    operation: 'embed' as const,
    asked,
    plan: (planning: Planning) => planEmbed(planning, { ...asked, onError }),
  };
  if (onError !== 'partial') {
    return answer(call, {
      ...task,
      compute: (model, engines) => embed(model, engines, asked),
      render({ embedded, ...output }) {
        const data = embedded.map((item, index) => renderItem(item, { index, types, output }));
        const json = { ...head(output), data, usage: output.usage, ...routing(call) } satisfies EmbedResponse;
        return { json, isWhole: true };
      },
    });
  }
  return answer(call, {
    ...task,
    compute: (model, engines) => embedPartially(model, engines, asked),
    render({ outcomes, ...output }) {
      const data = outcomes.map((outcome, index) =>
        outcome instanceof CoreError ? renderFailure(outcome, index) : renderItem(outcome, { index, types, output }),
      );
      const failed = data.filter(({ object }) => object === 'error').length;
      const json = {
        ...head(output),
        data,
        failed,
        usage: output.usage,
        ...routing(call),
      } satisfies PartialEmbedResponse;
      return { json, isWhole: failed === 0 };
    },
  });
}

/** Uploads are read by a job itself, where it can, and by us where it cannot. */
function namingOf(call: Call): Naming {
  const uriOf = (item: Item) => jobUriOf(call, item);
  return { uriOf, resolve: (items) => withUploads(call, items, { isKept: (item) => uriOf(item) !== undefined }) };
}

function parseBody(json: unknown) {
  const asked = parseRequest(EmbedRequest, json);
  return { ...asked, input: [asked.input].flat().map(toItem) };
}

/** Known once the images are encoded. */
const routing = ({ record }: Call) => (record.routing ? { routing: record.routing } : {});

type Output = Omit<EmbedOutput, 'embedded'>;

function head({ model, space_id, dimensions }: Output) {
  return { object: 'list' as const, model, space_id, dimensions };
}

function renderItem(
  { modality, embedding, truncation, picture, parts }: Embedded,
  { index, types, output }: { index: number; types: EmbeddingType[]; output: Output },
): z.infer<typeof EmbeddingItem> {
  return {
    object: 'embedding',
    index,
    modality,
    ...write(embedding, types, output.quantisation),
    space_id: output.space_id,
    ...(truncation ? { truncation } : {}),
    ...(picture ? { picture } : {}),
    ...(parts ? { parts } : {}),
  };
}

function renderFailure(error: CoreError, index: number): z.infer<typeof FailedItem> {
  return { object: 'error', index, error: errorMember(error) };
}

/** One type: the vector itself. Several: an object by type. */
function write(embedding: Embedded['embedding'], types: EmbeddingType[], quantisation: Quantisation) {
  const [type] = types;
  if (types.length === 1 && type) return { embedding: encodeEmbedding(embedding, type, quantisation), type };
  return { embedding: encodeEmbeddings(embedding, types, quantisation) };
}
