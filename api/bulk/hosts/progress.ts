// Tells a person how far a command of bulk work is.

/** One line that is written over, or, where the output is not a terminal, a line now and then and the last. */
export function lineOfProgress(): (text: string, isLast: boolean) => void {
  let last = Number.NEGATIVE_INFINITY;
  const everyMs = process.stdout.isTTY ? 250 : 10_000;
  return (text, isLast) => {
    if (!isLast && performance.now() - last < everyMs) return;
    last = performance.now();
    process.stdout.write(process.stdout.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
  };
}

export function timeOf(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
