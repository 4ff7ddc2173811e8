// OpenAI's embeddings and models, and which service's body a request to them has.
import { InfinityEmbeddingsRequest } from '../../../contracts/src/api/doors/infinity.ts';
import { JinaEmbeddingsRequest } from '../../../contracts/src/api/doors/jina.ts';
import {
  type OPENAI_OPERATIONS,
  type OpenAIEmbeddings,
  OpenAIEmbeddingsRequest,
} from '../../../contracts/src/api/doors/openai.ts';
import { VoyageEmbeddingsRequest } from '../../../contracts/src/api/doors/voyage.ts';
import type { Door } from '../../../contracts/src/api/operation.ts';
import { listEmbeddings, tokenUsage } from '../../core/encode/list.ts';
import { CoreError } from '../../core/errors.ts';
import { toItem } from '../../core/items/content.ts';
import { retrieveModel } from '../../core/model.ts';
import { parseRequest } from '../../core/validation.ts';
import { encodeEmbedding } from '../../core/vectors/vectors.ts';
import type { Call, Handler } from '../dependencies.ts';
import { readJson } from '../http/body.ts';
import { readPrefer } from '../http/prefer.ts';
import type { Reply } from '../http/reply.ts';
import { embedInput } from './embeddings.ts';
import { infinityEmbeddings } from './infinity.ts';
import { jinaEmbeddings } from './jina.ts';
import { jobInstead } from './job-instead.ts';
import { mixedbreadEmbeddings } from './mixedbread.ts';
import { voyageEmbeddings } from './voyage.ts';

type Body = Record<string, unknown>;
interface Form {
  door: Door;
  isOf(body: Body): boolean;
  answer(call: Call, body: unknown): Promise<Reply>;
}

/** A body is of the first service whose keys it has, set or null; of OpenAI where there are none. */
const FORMS: Form[] = [
  { door: 'voyage', isOf: hasKeyOf(VoyageEmbeddingsRequest), answer: voyageEmbeddings },
  { door: 'openai', isOf: hasKeyOf(InfinityEmbeddingsRequest), answer: infinityEmbeddings },
  {
    door: 'openai',
    isOf: ({ encoding_format: format, ...body }) =>
      'prompt' in body ||
      Array.isArray(format) ||
      ['float16', 'int8', 'uint8', 'binary', 'ubinary'].some((each) => each === format),
    answer: mixedbreadEmbeddings,
  },
  {
    door: 'jina',
    isOf: (body) => hasKeyOf(JinaEmbeddingsRequest)(body) || hasOlderImage(body),
    answer: jinaEmbeddings,
  },
];

function hasKeyOf({ shape }: { shape: object }): Form['isOf'] {
  const own = Object.keys(shape).filter((key) => !Object.hasOwn(OpenAIEmbeddingsRequest.shape, key));
  return (body) => own.some((key) => Object.hasOwn(body, key));
}

function hasOlderImage({ input }: Body): boolean {
  const items: unknown[] = [input].flat();
  return items.some((item) => isObject(item) && ('bytes' in item || 'url' in item));
}

function isObject(value: unknown): value is Body {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

async function createEmbeddings(call: Call): Promise<Reply> {
  const body = await readJson(call.request);
  const form = isObject(body) ? FORMS.find(({ isOf }) => isOf(body)) : undefined;
  if (form) call.record.door = form.door;
  if (isObject(body)) refuseTokenIds(body);
  return form ? form.answer(call, body) : openAiEmbeddings(call, body);
}

async function openAiEmbeddings(call: Call, body: unknown): Promise<Reply> {
  const asked = parseRequest(OpenAIEmbeddingsRequest, body);
  const { model, dimensions, encoding_format: type = 'float' } = asked;
  const input = Array.isArray(asked.input) ? asked.input.map(toItem) : toItem(asked.input);
  // OpenAI's clients know no other answer than vectors, unless the caller says by Prefer that another one will do.
  const mayBegin = readPrefer(call.request.headers).job !== undefined;
  const job = mayBegin ? await jobInstead(call, { model, dimensions, input: [input].flat() }) : undefined;
  if (job) return job;
  const output = await embedInput(call, { model, dimensions, input });
  const list = listEmbeddings(output, (vector) => encodeEmbedding(vector, type, output.quantisation));
  return { json: { ...list, usage: tokenUsage(output) } satisfies OpenAIEmbeddings };
}

/** Clients that cut texts by themselves send ids of a vocabulary that only OpenAI's models have. */
function refuseTokenIds({ input }: Body): void {
  if (!Array.isArray(input) || input.length === 0) return;
  const isIds = (value: unknown): boolean =>
    Array.isArray(value) && value.length > 0 && value.every((id) => Number.isInteger(id));
  if (!isIds(input) && !input.every(isIds)) return;
  const message =
    "input holds token ids, which are numbers of another model's vocabulary: send the text itself. Where the client makes " +
    'them, switch that off: in LangChain for Python, OpenAIEmbeddings(check_embedding_ctx_length=False).';
  throw new CoreError('wrong_type', message, { param: 'input' });
}

export const OPENAI_HANDLERS: Record<keyof typeof OPENAI_OPERATIONS, Handler> = {
  createEmbeddings,
  retrieveModel: async ({ params, deps: { provider } }) => ({
    json: await provider.use(async (model) => retrieveModel(model, params.id ?? '')),
  }),
};
