// Digests as manifests and keys write them: `sha256:` and 64 hexadecimal digits.

export async function sha256(bytes: ArrayBuffer | Uint8Array<ArrayBuffer>): Promise<string> {
  return toDigest(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
}

/** `hash`: the 32 bytes of a finished SHA-256. */
export function toDigest(hash: Uint8Array): string {
  return `sha256:${Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
