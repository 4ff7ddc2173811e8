// Bytes that come over a connection, none of which is waited for without end.

export interface Waiting {
  /** For each piece. Whoever reads may take any time: only the store is waited for. */
  ms: number;
  /** Gives the connection up, and says why. */
  late(): Error;
}

/** The pieces of a content; throws what `late` says where one does not come in time. */
export async function* inTime(stream: AsyncIterable<Uint8Array>, waiting: Waiting): AsyncGenerator<Uint8Array> {
  const pieces = stream[Symbol.asyncIterator]();
  let isLate = false;
  try {
    for (;;) {
      isLate = true;
      const next = await within(pieces.next(), waiting);
      isLate = false;
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // A stream ends what it reads behind the piece that it waits for.
    const closing = Promise.resolve(pieces.return?.()).catch(() => {});
    if (!isLate) await closing;
  }
}

function within<T>(promise: Promise<T>, { ms, late }: Waiting): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
