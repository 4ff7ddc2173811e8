// AWS Lambda entry behind a function URL: the event becomes a request, the answer becomes the reply.
import { answer, BODY_BYTES, problem, Refusal } from '../http.ts';
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

// The container holds the embedded model beside the code; $MODEL_REGISTRY names what is followed. A model is opened while
// Lambda starts, before the first event; a failure is thrown by the first event, where the log shows it beside the
// request. A look at the registry that an answer leaves behind freezes with the copy and goes on with its next event.
const service = openService();
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
