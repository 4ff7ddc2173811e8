// Shows what goes on at the moment: one live line on a terminal, elsewhere a line every ten seconds for each.

/** Between progress lines of a log: often enough to see it live, seldom enough to read the log later. */
const LINE_EVERY_MS = 10_000;
/** Between the parts of a live line. */
const GAP = ' | ';

export interface LiveLinesOptions {
  write(text: string): void;
  /** Width of the terminal now, which a person may change; undefined where the output is not one. */
  columns?: (() => number) | undefined;
  /** Milliseconds of a clock that nobody sets. */
  now: () => number;
}

export interface LiveLines {
  /** `id`: of what goes on. The last text of each is always printed. */
  show(id: string, text: string, { isLast }: { isLast: boolean }): void;
  /** Before other lines are written. */
  clear(): void;
  /** It goes on no more, or begins anew. */
  end(id: string): void;
}

export function createLiveLines({ write, columns, now }: LiveLinesOptions): LiveLines {
  let shown = false;
  /** In the order of their beginning. */
  const texts = new Map<string, string>();
  const printedAt = new Map<string, number>();
  const print = (id: string, text: string): void => {
    printedAt.set(id, now());
    write(`${text}\n`);
  };
  return {
    show(id, text, { isLast }) {
      texts.set(id, text);
      if (columns !== undefined) {
        write(`\r\x1b[2K${sideBySide([...texts.values()], Math.max(1, columns() - 1))}`);
        shown = true;
      } else if (isLast || now() - (printedAt.get(id) ?? Number.NEGATIVE_INFINITY) >= LINE_EVERY_MS) print(id, text);
    },
    clear() {
      if (shown) write('\r\x1b[2K');
      shown = false;
    },
    end(id) {
      texts.delete(id);
      printedAt.delete(id);
    },
  };
}

/** The texts in one line, each cut to its share of the width. */
function sideBySide(texts: readonly string[], width: number): string {
  const share = Math.max(1, Math.floor((width - GAP.length * (texts.length - 1)) / texts.length));
  // A line that is too long is wrapped by the terminal, which clears only its end: every update would leave a line behind.
  return texts
    .map((text) => text.slice(0, share))
    .join(GAP)
    .slice(0, width);
}
