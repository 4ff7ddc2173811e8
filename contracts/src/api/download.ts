// Downloads in HTTP: bytes that may be had in ranges, by a tag that says whether their reader has them already (RFC 9110, sections 13 to 15).

/** Whether `If-None-Match` names the tag. It compares weakly: what a proxy compressed is still what was answered. */
export function isNamed(etag: string, condition: string): boolean {
  return isAny(condition) || condition.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}

/** `*` names whatever there is. */
export function isAny(condition: string): boolean {
  return condition.trim() === '*';
}

export interface Download {
  etag: string;
  /** Of all of it, in bytes. */
  size: number;
  /** Those that are sent, the last one not among them; absent: all. */
  range?: { from: number; to: number };
  /** Absent: its reader has it. */
  stream?: AsyncIterable<Uint8Array>;
}

/** How a download is written. */
export function headOf({ etag, size, range, stream }: Download): { status: number; headers: Record<string, string> } {
  const headers = { ETag: etag, 'Accept-Ranges': 'bytes', 'Cache-Control': 'private, no-cache' };
  if (!stream) return { status: 304, headers };
  const { from, to } = range ?? { from: 0, to: size };
  const whole = { ...headers, 'Content-Type': 'application/octet-stream', 'Content-Length': String(to - from) };
  if (!range) return { status: 200, headers: whole };
  return { status: 206, headers: { ...whole, 'Content-Range': `bytes ${from}-${to - 1}/${size}` } };
}
