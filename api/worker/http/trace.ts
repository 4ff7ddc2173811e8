// W3C Trace Context: the trace that a request belongs to, and the header that hands it on.
// https://www.w3.org/TR/trace-context/
import { hex } from '../../core/encode/digest.ts';

export interface Trace {
  /** 32 hexadecimal digits. */
  traceId: string;
  /** This request's own span, 16 hexadecimal digits. */
  spanId: string;
  /** The caller's span. */
  parentId?: string;
  isSampled: boolean;
  /** Vendors' entries, handed on as they came. */
  state?: string;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Continues the caller's trace; without a valid `traceparent` a new one begins and `tracestate` is dropped. */
export function startTrace(headers: Headers): Trace {
  const [spanId, newTraceId] = randomIds();
  const [, version, traceId = '', parentId = '', flags = '', more] =
    TRACEPARENT.exec(headers.get('traceparent')?.trim() ?? '') ?? [];
  const isValid =
    version !== undefined &&
    version !== 'ff' &&
    // Version 00 has no further parts.
    (version !== '00' || more === undefined) &&
    !/^0+$/.test(traceId) &&
    !/^0+$/.test(parentId);
  if (!isValid) return { traceId: newTraceId, spanId, isSampled: false };
  const state = headers.get('tracestate');
  const isSampled = (Number.parseInt(flags, 16) & 1) === 1;
  return { traceId, spanId, parentId, isSampled, ...(state ? { state } : {}) };
}

/** For calls that this request makes. */
export function traceHeaders({ traceId, spanId, isSampled, state }: Trace): Record<string, string> {
  const traceparent = `00-${traceId}-${spanId}-0${isSampled ? 1 : 0}`;
  return state ? { traceparent, tracestate: state } : { traceparent };
}

/** One call for both: what it takes hardly depends on how many bytes are asked for. */
function randomIds(): [spanId: string, traceId: string] {
  const digits = hex(crypto.getRandomValues(new Uint8Array(24)));
  return [digits.slice(0, 16), digits.slice(16)];
}
