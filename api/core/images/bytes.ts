// Reading a file's first bytes: names in ASCII and numbers of both byte orders.

export function ascii(bytes: Uint8Array, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}

export function big(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let i = 0; i < count; i++) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}

export function little(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let i = count - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}

/** Major and compatible brands of an ISO base media file (AVIF, HEIC, MP4); none where it is another file. */
export function brandsOf(bytes: Uint8Array): string[] {
  if (bytes.length < 12 || !ascii(bytes, 4, 'ftyp')) return [];
  const end = Math.min(big(bytes, 0, 4), bytes.length, 256);
  const brands: string[] = [];
  for (let at = 8; at + 4 <= Math.max(end, 12); at += at === 8 ? 8 : 4) {
    brands.push(String.fromCharCode(...bytes.subarray(at, at + 4)));
  }
  return brands;
}
