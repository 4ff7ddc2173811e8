// The reply of a route: JSON, text or a stream, and where needed a status and headers of its own.

export interface ReplyOptions {
  /** Default: 200. */
  status?: number;
  headers?: Record<string, string>;
}
export type Reply = ReplyOptions &
  ({ json: object } | { text: string } | { stream: ReadableStream<Uint8Array> | null });

export function toResponse(reply: Reply): Response {
  const { status = 200, headers = {} } = reply;
  if ('stream' in reply) return new Response(reply.stream, { status, headers });
  if ('text' in reply) return new Response(reply.text, { status, headers });
  return new Response(JSON.stringify(reply.json), {
    status,
    headers: { 'Content-Type': 'application/json', ...headers },
  });
}
