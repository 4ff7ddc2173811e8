// Keys and values of one head in the order in which attention reads them.

/** Keys of one head in panels of eight: for each dimension, that number of the eight keys. Past the last one it is repeated. */
export function packKeys(from: usize, stride: usize, tokens: i32, head: usize, to: usize): void {
  for (let token = 0; token < tokens; token += 4) {
    const last = <usize>(tokens - 1 - token);
    const a = from + <usize>token * stride;
    const b = a + min<usize>(last, 1) * stride;
    const c = a + min<usize>(last, 2) * stride;
    const d = a + min<usize>(last, 3) * stride;
    let at = to + <usize>(token >> 3) * (head << 3) + ((<usize>(token & 4)) << 2);
    for (let k: usize = 0; k < head; k += 16, at += 128) {
      const w = v128.load(a + k);
      const x = v128.load(b + k);
      const y = v128.load(c + k);
      const z = v128.load(d + k);
      const low = v128.shuffle<i32>(w, x, 0, 4, 1, 5);
      const high = v128.shuffle<i32>(w, x, 2, 6, 3, 7);
      const more = v128.shuffle<i32>(y, z, 0, 4, 1, 5);
      const most = v128.shuffle<i32>(y, z, 2, 6, 3, 7);
      v128.store(at, v128.shuffle<i64>(low, more, 0, 2));
      v128.store(at, v128.shuffle<i64>(low, more, 1, 3), 32);
      v128.store(at, v128.shuffle<i64>(high, most, 0, 2), 64);
      v128.store(at, v128.shuffle<i64>(high, most, 1, 3), 96);
    }
  }
}

/** Values of one head in panels of eight dimensions: those of each token, with zeros up to a multiple of four tokens. */
export function packValues(from: usize, stride: usize, tokens: i32, head: usize, to: usize): void {
  for (let k: usize = 0; k < head; k += 32, from += 32) {
    for (let token = 0, at = from; token < tokens; token++, at += stride, to += 32) {
      put(to, v128.load(at), v128.load(at, 16));
    }
    for (let token = tokens; token & 3; token++, to += 32) put(to, f32x4.splat(0), f32x4.splat(0));
  }
}

/** Eight numbers. */
export function put(at: usize, first: v128, second: v128): void {
  v128.store(at, first);
  v128.store(at, second, 16);
}
