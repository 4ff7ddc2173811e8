// GET /: the playground, from the static files beside the Worker.
import { CoreError } from '../../core/errors.ts';
import type { Call } from '../dependencies.ts';
import type { Reply } from '../http/reply.ts';

export async function pageRoute({ request, deps: { files } }: Call): Promise<Reply> {
  if (!files) throw new CoreError('not_found', 'This server has no page; GET /openapi.json says what it answers.');
  const { status, headers, body } = await files(request);
  return { status, headers: Object.fromEntries(headers), stream: body };
}
