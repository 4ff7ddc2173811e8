// POST /embed: texts and images in, embeddings in the same order out.
import type { z } from 'zod';
import {
  type EmbeddingItem,
  type EmbeddingType,
  EmbedRequest,
  type EmbedResponse,
} from '../../../contracts/src/api/embed.ts';
import { type Embedded, type EmbedOutput, embed } from '../../core/embed.ts';
import { toItem } from '../../core/items/content.ts';
import { parseRequest } from '../../core/validation.ts';
import { encodeEmbedding, type Quantisation } from '../../core/vectors/vectors.ts';
import type { Call } from '../dependencies.ts';
import { isTeiBody, teiEmbed } from '../doors/tei.ts';
import { readJsonOrForm } from '../http/body.ts';
import { parseEmbedForm } from '../http/form.ts';
import type { Reply } from '../http/reply.ts';
import { withModel } from '../with-model.ts';

export async function embedRoute(call: Call): Promise<Reply> {
  const body = await readJsonOrForm(call.request);
  if ('json' in body && isTeiBody(body.json)) return teiEmbed(call, body.json);
  const asked = 'form' in body ? parseEmbedForm(body.form) : parseBody(body.json);
  const output = await withModel(call, (model, engines) => embed(model, engines, asked));
  const types: EmbeddingType[] = asked.types ?? ['float'];
  return { json: render(output, [...new Set(types)]) };
}

function parseBody(json: unknown) {
  const asked = parseRequest(EmbedRequest, json);
  return { ...asked, input: [asked.input].flat().map(toItem) };
}

function render(output: EmbedOutput, types: EmbeddingType[]): EmbedResponse {
  const { model, space_id, dimensions, quantisation, embedded, usage } = output;
  const data = embedded.map(
    ({ modality, embedding, truncation, parts }, index): z.infer<typeof EmbeddingItem> => ({
      object: 'embedding',
      index,
      modality,
      ...write(embedding, types, quantisation),
      space_id,
      ...(truncation ? { truncation } : {}),
      ...(parts ? { parts } : {}),
    }),
  );
  return { object: 'list', model, space_id, dimensions, data, usage };
}

/** One type: the vector itself. Several: an object by type. */
function write(embedding: Embedded['embedding'], types: EmbeddingType[], quantisation: Quantisation) {
  const [type] = types;
  if (types.length === 1 && type) return { embedding: encodeEmbedding(embedding, type, quantisation), type };
  return { embedding: Object.fromEntries(types.map((each) => [each, encodeEmbedding(embedding, each, quantisation)])) };
}
