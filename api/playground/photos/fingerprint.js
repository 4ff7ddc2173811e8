// Tells whether two files hold the same bytes. SHA-256 is not there on plain HTTP, and nobody gains by forging this.

/** Of a longer file, so much from its beginning and its end. */
const PART_BYTES = 1024 * 1024;

/**
 * Size and two 32-bit hashes (MurmurHash3's multipliers), and what was read of the beginning.
 * @param {Blob} file @returns {Promise<{key: string, first: Uint8Array}>}
 */
export async function fingerprint(file) {
  const isLong = file.size > 2 * PART_BYTES;
  const read = isLong ? new Blob([file.slice(0, PART_BYTES), file.slice(-PART_BYTES)]) : file;
  const bytes = new Uint8Array(await read.arrayBuffer());
  let a = 0x9747b28c;
  let b = 0x3c6ef372;
  for (const byte of bytes) {
    a = Math.imul(a ^ byte, 0xcc9e2d51);
    b = Math.imul(b ^ byte, 0x1b873593);
    a ^= a >>> 15;
    b ^= b >>> 13;
  }
  return { key: `${file.size}-${(a >>> 0).toString(36)}-${(b >>> 0).toString(36)}`, first: bytes.slice(0, 32) };
}
