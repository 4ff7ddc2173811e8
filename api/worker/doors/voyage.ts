// Voyage's embeddings, of texts on OpenAI's path and of texts and images on its own.
import {
  type VOYAGE_OPERATIONS,
  type VoyageEmbeddings,
  VoyageEmbeddingsRequest,
  type VoyageMultimodalEmbeddings,
  VoyageMultimodalRequest,
} from '../../../contracts/src/api/doors/voyage.ts';
import type { EmbedOutput } from '../../core/embed.ts';
import { listEmbeddings } from '../../core/encode/list.ts';
import { toItem } from '../../core/items/content.ts';
import { parseRequest } from '../../core/validation.ts';
import { toBase64 } from '../../core/vectors/base64.ts';
import { encodeEmbedding } from '../../core/vectors/vectors.ts';
import type { Call, Handler } from '../dependencies.ts';
import { readJson } from '../http/body.ts';
import type { Reply } from '../http/reply.ts';
import { embedInput } from './embeddings.ts';

type Asked = Omit<VoyageEmbeddingsRequest, 'input'>;

export async function voyageEmbeddings(call: Call, body: unknown): Promise<Reply> {
  const { input, ...asked } = parseRequest(VoyageEmbeddingsRequest, body);
  const output = await embedInput(call, { input, ...optionsOf(asked) });
  const list = listEmbeddings(output, (vector) => write(vector, asked, output));
  return { json: { ...list, usage: { total_tokens: output.usage.total_tokens } } satisfies VoyageEmbeddings };
}

async function embedMultimodal(call: Call): Promise<Reply> {
  const { inputs, output_encoding, ...asked } = parseRequest(VoyageMultimodalRequest, await readJson(call.request));
  const output = await embedInput(call, { input: inputs.map(toItem), field: 'inputs', ...optionsOf(asked) });
  const encoding_format = asked.encoding_format ?? output_encoding;
  const list = listEmbeddings(output, (vector) => write(vector, { ...asked, encoding_format }, output));
  const { prompt_tokens, total_tokens } = output.usage;
  const usage = {
    text_tokens: prompt_tokens,
    image_pixels: output.pixels,
    video_pixels: 0 as const,
    total_tokens,
  };
  return { json: { ...list, usage } satisfies VoyageMultimodalEmbeddings };
}

function optionsOf({ model, output_dimension: dimensions, truncation = true }: Asked) {
  return {
    model,
    dimensions,
    dimensionsField: 'output_dimension',
    truncate: truncation ? ('end' as const) : ('none' as const),
  };
}

/** Base64 is of the numbers of the type that was asked for: Voyage's clients read it as that type. */
function write(vector: Float32Array, { output_dtype = 'float', encoding_format }: Asked, output: EmbedOutput) {
  if (encoding_format === undefined) return encodeEmbedding(vector, output_dtype, output.quantisation);
  if (output_dtype === 'float') return encodeEmbedding(vector, 'base64', output.quantisation);
  const numbers = encodeEmbedding(vector, output_dtype, output.quantisation) as number[];
  return toBase64(Uint8Array.from(numbers));
}

export const VOYAGE_HANDLERS: Record<keyof typeof VOYAGE_OPERATIONS, Handler> = { embedMultimodal };
