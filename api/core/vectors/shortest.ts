// Numbers of float32 in the fewest digits that still name them: what JSON prints of them is then 40 % shorter.

/** 10^0 to 10^22: the powers of ten that a double holds exactly. */
const POWERS = Array.from({ length: 23 }, (_, exponent) => 10 ** exponent);
/** With fewer digits than this at most one decimal number rounds to a given normal float32; this many always do. */
const LEAST_DIGITS = 6;
const MOST_DIGITS = 9;
const MIN_NORMAL = 2 ** -126;

/**
 * The double that JSON prints as the shortest decimal number that is read back as `value`, a float32. JSON prints the
 * shortest digits of a double, and those of the double nearest to 0.1 are 0.1: nothing else has to know of float32.
 */
export function shortestFloat(value: number): number {
  const size = Math.abs(value);
  // Beyond, the powers of ten are not exact. Vectors hardly ever have such numbers.
  if (!(size >= 1e-13 && size < 1e13)) return bySearch(value);
  let exponent = Math.floor(Math.log10(size));
  if (size >= 10 ** (exponent + 1)) exponent += 1;
  else if (size < 10 ** exponent) exponent -= 1;
  for (let digits = LEAST_DIGITS; digits <= MOST_DIGITS; digits++) {
    const shift = digits - 1 - exponent;
    // A whole number divided by an exact power of ten is the double nearest to that decimal number.
    const scaled = shift >= 0 ? value * (POWERS[shift] ?? 1) : value / (POWERS[-shift] ?? 1);
    const whole = Math.round(scaled);
    const nearest = shift >= 0 ? whole / (POWERS[shift] ?? 1) : whole * (POWERS[-shift] ?? 1);
    if (Math.fround(nearest) === value) return nearest;
  }
  return bySearch(value);
}

/** By printing, which takes ten times as long and needs no exact power of ten. */
function bySearch(value: number): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const least = Math.abs(value) < MIN_NORMAL ? 1 : LEAST_DIGITS;
  for (let digits = least; digits < MOST_DIGITS; digits++) {
    const [significand = '', exponent = ''] = value.toExponential(digits - 1).split('e');
    const whole = Number(significand.replace('.', ''));
    // Below a power of two float32 lies twice as dense as above it: the nearest decimal may miss where the next one hits.
    for (const candidate of [whole, whole + Math.sign(value)]) {
      const printed = Number(`${candidate}e${Number(exponent) - digits + 1}`);
      if (Math.fround(printed) === value) return printed;
    }
  }
  return Number(value.toPrecision(MOST_DIGITS));
}
