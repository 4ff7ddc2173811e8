// AWS Lambda entry behind a function URL: the event becomes a request, the response becomes the reply.
import { BODY_BYTES, bodyTooLarge, errorResponse, respond } from '../http.ts';
import { openService } from './service.ts';

/** The part of payload format 2.0 that is read here. Header names arrive in lower case. */
export interface FunctionUrlEvent {
  rawPath: string;
  headers: Record<string, string | undefined>;
  requestContext: { requestId: string; http: { method: string } };
  body?: string;
  isBase64Encoded: boolean;
}
export interface FunctionUrlReply {
  statusCode: number;
  headers: Record<string, string>;
  body: string;
}

// The container holds the embedded model beside the code; $MODEL_REGISTRY names what is followed. A model is opened while
// Lambda starts, before the first event; a failure is thrown by the first event, where the log shows it beside the
// request. A poll of the registry that outlives its response is frozen with the instance and goes on with the next event.
const service = openService();
service.catch(() => {});

export async function handler(event: FunctionUrlEvent): Promise<FunctionUrlReply> {
  const { requestId, http } = event.requestContext;
  const body = Buffer.from(event.body ?? '', event.isBase64Encoded ? 'base64' : 'utf8');
  const contentType = event.headers['content-type'];
  const request = { method: http.method, path: event.rawPath, contentType, requestId, body };
  const { status, ...reply } =
    body.length > BODY_BYTES
      ? errorResponse(bodyTooLarge(body.length), requestId)
      : await respond(await service, request);
  return { statusCode: status, ...reply };
}
