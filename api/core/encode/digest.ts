// SHA-256 in hexadecimal digits: what keys and tags are made of.

// Both runtimes have these of the web; this box sees neither runtime's types.
declare const crypto: { subtle: { digest(algorithm: 'SHA-256', bytes: Uint8Array): Promise<ArrayBuffer> } };
declare class TextEncoder {
  encode(text: string): Uint8Array;
}

const utf8 = new TextEncoder();

/** A file is asked for by its tag, by the cache and by the encoder's client, and may have ten megabytes. */
const known = new WeakMap<Uint8Array, string>();

/** 64 digits; of a text, the digest of its UTF-8. Bytes are hashed once: they must not change afterwards. */
export async function sha256Hex(data: Uint8Array | string): Promise<string> {
  const isText = typeof data === 'string';
  const before = isText ? undefined : known.get(data);
  if (before !== undefined) return before;
  const digits = hex(new Uint8Array(await crypto.subtle.digest('SHA-256', isText ? utf8.encode(data) : data)));
  if (!isText) known.set(data, digits);
  return digits;
}

const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** A method that ES2024 does not know yet, and workerd does. */
interface NewBytes extends Uint8Array {
  toHex?(): string;
}

/** Two digits a byte. A loop: of a short digest, joining an array takes longer than computing it. */
export function hex(bytes: NewBytes): string {
  if (bytes.toHex) return bytes.toHex();
  let digits = '';
  for (const byte of bytes) digits += DIGITS[byte];
  return digits;
}
