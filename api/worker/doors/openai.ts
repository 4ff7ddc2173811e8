// OpenAI's embeddings and models, whose path Jina's and Voyage's bodies share.
import {
  type OPENAI_OPERATIONS,
  type OpenAIEmbeddings,
  OpenAIEmbeddingsRequest,
} from '../../../contracts/src/api/doors/openai.ts';
import { embed } from '../../core/embed.ts';
import { CoreError } from '../../core/errors.ts';
import { toItem } from '../../core/items/content.ts';
import { retrieveModel } from '../../core/model.ts';
import { parseRequest } from '../../core/validation.ts';
import { encodeEmbedding } from '../../core/vectors/vectors.ts';
import type { Call, Handler } from '../dependencies.ts';
import { readJson } from '../http/body.ts';
import type { Reply } from '../http/reply.ts';
import { withModel } from '../with-model.ts';
import { listEmbeddings, namingFields } from './embeddings.ts';

async function createEmbeddings(call: Call): Promise<Reply> {
  const body = await readJson(call.request);
  refuseTokenIds(body);
  const asked = parseRequest(OpenAIEmbeddingsRequest, body);
  const { model, dimensions, encoding_format: type = 'float' } = asked;
  const input = [asked.input].flat().map(toItem);
  const names = { list: 'input', isSingle: !Array.isArray(asked.input) };
  const output = await withModel(call, (current, engines) =>
    namingFields(names, () => embed(current, engines, { model, input, dimensions })),
  );
  const { prompt_tokens, total_tokens } = output.usage;
  const list = listEmbeddings(output, (embedding) => encodeEmbedding(embedding, type, output.quantisation));
  return { json: { ...list, usage: { prompt_tokens, total_tokens } } satisfies OpenAIEmbeddings };
}

/** Clients that cut texts by themselves send ids of a vocabulary that only OpenAI's models have. */
function refuseTokenIds(body: unknown): void {
  const input = typeof body === 'object' && body !== null ? Reflect.get(body, 'input') : undefined;
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
