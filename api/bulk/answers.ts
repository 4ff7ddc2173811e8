// Lines that are requests, answered one by one as POST /v1/embeddings answers them: OpenAI's batches.

import { BatchLine } from '../../contracts/src/api/doors/batches.ts';
import type { BulkJob } from '../../contracts/src/bulk/job.ts';
import type { EmbedOutput } from '../core/embed.ts';
import { listEmbeddings, ofOnlyItem, tokenUsage } from '../core/encode/list.ts';
import { errorDocument } from '../core/error-document.ts';
import { CoreError } from '../core/errors.ts';
import { toItem } from '../core/items/content.ts';
import { parseRequest } from '../core/validation.ts';
import { encodeEmbedding } from '../core/vectors/vectors.ts';
import type { BulkEncoder } from './model.ts';
import { serialOf } from './service/ask.ts';
import { isBlank, LINE_BYTES, linesOf, nameIn, type UnreadLine } from './service/lines.ts';

/** A line of OpenAI's files of answers and of errors. */
export interface BatchAnswer {
  id: string;
  /** Null where the line could not be read. */
  custom_id: string | null;
  response: { status_code: number; request_id: string; body: object } | null;
  error: { code: string; message: string } | null;
}

interface Place {
  id: string;
  encoder: Pick<BulkEncoder, 'answer' | 'isOurs'>;
}

/** In the order of the lines. Throws on what is not a line's fault. */
export async function* answersOf(
  lines: AsyncIterable<Uint8Array>,
  { encoder, job, shard }: { encoder: Place['encoder']; job: BulkJob; shard: number },
): AsyncGenerator<BatchAnswer> {
  let item = 0;
  for await (const text of linesOf(lines, LINE_BYTES)) {
    if (isBlank(text)) continue;
    yield await answerLine(text, { id: `batch_req_${serialOf(job.id)}_${shard}_${item}`, encoder });
    item += 1;
  }
}

async function answerLine(text: string | UnreadLine, { id, encoder }: Place): Promise<BatchAnswer> {
  let custom_id: string | null = null;
  try {
    if (typeof text !== 'string') throw text.error;
    const document = readDocument(text);
    custom_id = nameIn(document);
    const { body } = parseRequest(BatchLine, document);
    const { model, dimensions, input, encoding_format: type = 'float' } = body;
    const items = Array.isArray(input) ? input.map(toItem) : [toItem(input)];
    const output: EmbedOutput = await encoder
      .answer({ model, dimensions, input: items })
      .catch((error: unknown) => Promise.reject(Array.isArray(input) ? error : ofOnlyItem(error)));
    const list = listEmbeddings(output, (vector) => encodeEmbedding(vector, type, output.quantisation));
    const answer = { ...list, usage: tokenUsage(output) };
    return { id, custom_id, response: { status_code: 200, request_id: id, body: answer }, error: null };
  } catch (error) {
    if (!(error instanceof CoreError) || encoder.isOurs(error)) throw error;
    const { code, message } = error;
    if (custom_id === null) return { id, custom_id, response: null, error: { code, message } };
    const { status, body } = errorDocument(error, id);
    return { id, custom_id, response: { status_code: status, request_id: id, body }, error: { code, message } };
  }
}

function readDocument(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CoreError('malformed_json', 'the line is not JSON.');
  }
}
