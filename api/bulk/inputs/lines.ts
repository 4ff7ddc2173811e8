// Lines of a stream of bytes, each of bounded length: a file without line ends must not fill the memory.

/** A line without its end; undefined in place of one that is longer than `most` bytes. */
export async function* linesOf(stream: AsyncIterable<Uint8Array>, most: number): AsyncGenerator<string | undefined> {
  const decoder = new TextDecoder();
  let parts: Uint8Array[] = [];
  let size = 0;
  let isTooLong = false;
  const add = (part: Uint8Array): void => {
    size += part.byteLength;
    isTooLong ||= size > most;
    if (isTooLong) parts = [];
    else parts.push(part);
  };
  const take = (): string | undefined => {
    const line = isTooLong ? undefined : decoder.decode(Buffer.concat(parts)).replace(/\r$/, '');
    [parts, size, isTooLong] = [[], 0, false];
    return line;
  };
  for await (const chunk of stream) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      add(chunk.subarray(start, end));
      yield take();
      start = end + 1;
    }
    if (start < chunk.length) add(chunk.subarray(start));
  }
  if (size > 0) yield take();
}
