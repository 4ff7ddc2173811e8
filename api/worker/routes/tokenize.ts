// POST /tokenize: the tokens of texts, with their places.
import { TokenizeRequest, type TokenizeResponse } from '../../../contracts/src/api/tasks/tokenize.ts';
import { tokenize } from '../../core/tokenize.ts';
import { parseRequest } from '../../core/validation.ts';
import type { Call } from '../dependencies.ts';
import { readJson } from '../http/body.ts';
import type { Reply } from '../http/reply.ts';
import { withModel } from '../with-model.ts';
import { isTeiBody } from './answer.ts';

export async function tokenizeRoute(call: Call): Promise<Reply> {
  const body = await readJson(call.request);
  if (isTeiBody(body)) {
    const { teiTokenize } = await import('../doors/tei.ts');
    return teiTokenize(call, body);
  }
  const { input, ...options } = parseRequest(TokenizeRequest, body);
  const asked = { ...options, input: typeof input === 'string' ? [input] : input };
  const { model, context_length, texts } = await withModel(call, (current, engines) =>
    tokenize(current, engines, asked),
  );
  const data = texts.map((text, index) => ({ object: 'tokens' as const, index, ...text }));
  return { json: { object: 'list', model, context_length, data } satisfies TokenizeResponse };
}
