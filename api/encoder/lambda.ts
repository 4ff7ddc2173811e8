// AWS Lambda entry behind a function URL: the event becomes a request, the answer becomes the reply.
import { fileURLToPath } from 'node:url';
import { ENVARS } from '../../contracts/src/envars.ts';
import { answer, BODY_BYTES, problem, Refusal } from './answer.ts';
import { openService } from './service.ts';

/** The part of payload format 2.0 that is read here. Header names arrive in lower case. */
export type FunctionUrlEvent = {
  rawPath: string;
  headers: Record<string, string | undefined>;
  requestContext: { requestId: string; http: { method: string } };
  body?: string;
  isBase64Encoded: boolean;
};
export type FunctionUrlReply = { statusCode: number; headers: Record<string, string>; body: string };

// The container holds the model beside the code. It is opened while Lambda starts, before the first event; a failure is
// thrown by the first event, where the log shows it beside the request.
const model = process.env[ENVARS.model] ?? fileURLToPath(new URL('../model', import.meta.url));
const service = openService({ model });
service.catch(() => {});

export async function handler(event: FunctionUrlEvent): Promise<FunctionUrlReply> {
  const { requestId, http } = event.requestContext;
  const body = Buffer.from(event.body ?? '', event.isBase64Encoded ? 'base64' : 'utf8');
  const contentType = event.headers['content-type'];
  const request = { method: http.method, path: event.rawPath, contentType, requestId, body };
  const { status, ...reply } =
    body.length > BODY_BYTES
      ? problem(
          new Refusal('body_too_large', `the body has ${body.length} bytes; the limit is ${BODY_BYTES}`),
          requestId,
        )
      : await answer(await service, request);
  return { statusCode: status, ...reply };
}
