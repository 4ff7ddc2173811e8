// SHA-256 in hexadecimal digits: what keys and tags are made of.

// Both runtimes have these of the web; this box sees neither runtime's types.
declare const crypto: { subtle: { digest(algorithm: 'SHA-256', bytes: Uint8Array): Promise<ArrayBuffer> } };
declare class TextEncoder {
  encode(text: string): Uint8Array;
}

/** A file is asked for by its tag, by the cache and by the encoder's client, and may have ten megabytes. */
const known = new WeakMap<Uint8Array, string>();

/** 64 digits; of a text, the digest of its UTF-8. Bytes are hashed once: they must not change afterwards. */
export async function sha256Hex(data: Uint8Array | string): Promise<string> {
  if (typeof data === 'string') return digest(new TextEncoder().encode(data));
  const digits = known.get(data) ?? (await digest(data));
  known.set(data, digits);
  return digits;
}

async function digest(bytes: Uint8Array): Promise<string> {
  return hex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
}

const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Two digits a byte. A loop: of a short digest, joining an array takes longer than computing it. */
export function hex(bytes: Uint8Array): string {
  let digits = '';
  for (const byte of bytes) digits += DIGITS[byte];
  return digits;
}
