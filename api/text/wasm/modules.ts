// Chooses the build of the module that a runtime can run, with relaxed SIMD or without.

/** The smallest module with an instruction of relaxed SIMD: a function that returns `f32x4.relaxed_madd` of its parameters. */
const PROBE = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  // One type, (v128, v128, v128) -> v128, and one function of it.
  ...[0x01, 0x08, 0x01, 0x60, 0x03, 0x7b, 0x7b, 0x7b, 0x01, 0x7b, 0x03, 0x02, 0x01, 0x00],
  ...[0x0a, 0x0d, 0x01, 0x0b, 0x00, 0x20, 0x00, 0x20, 0x01, 0x20, 0x02, 0xfd, 0x85, 0x02, 0x0b],
);

export const hasRelaxedSimd = (): boolean => WebAssembly.validate(PROBE);

/** The build with relaxed SIMD where that is understood, which `understands` may decide. */
export function chooseBuild<Build>(
  builds: { relaxed: Build; plain: Build },
  understands: () => boolean = hasRelaxedSimd,
): Build {
  return understands() ? builds.relaxed : builds.plain;
}
