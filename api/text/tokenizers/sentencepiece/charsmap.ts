// SentencePiece's compiled rules of normalisation: texts that become others, in a trie over UTF-8.
import { utf8 } from './utf8.ts';

/** Both runtimes have it; this box sees neither runtime's types. */
declare class TextDecoder {
  constructor(label: 'utf-8', options: { ignoreBOM: boolean });
  decode(bytes: Uint8Array): string;
}
/** A rule may write a byte order mark. */
const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });
const LITTLE_ENDIAN = true;

/** What the longest rule makes of the text that begins there, and how far it reaches. */
export type Rules = (units: string, at: number) => { text: string; width: number } | undefined;

/** `charsmap`: bytes of a trie as a number, the trie, and texts that end with a zero byte. */
export function createRules(charsmap: Uint8Array): Rules {
  const size = new DataView(charsmap.buffer, charsmap.byteOffset, 4).getUint32(0, LITTLE_ENDIAN);
  const step = createTrie(charsmap.subarray(4, 4 + size));
  const texts = charsmap.subarray(4 + size);
  const known = new Map<number, string>();

  function textAt(place: number): string {
    let text = known.get(place);
    if (text === undefined) {
      text = UTF8.decode(texts.subarray(place, texts.indexOf(0, place)));
      known.set(place, text);
    }
    return text;
  }

  return (units, from) => {
    let state: State | undefined = START;
    let found: { place: number; width: number } | undefined;
    for (let at = from; at < units.length; ) {
      const code = units.codePointAt(at) ?? 0;
      at += code > 0xffff ? 2 : 1;
      for (const byte of utf8(code)) state = state && step(state, byte);
      if (!state) break;
      if (state.place !== undefined) found = { place: state.place, width: at - from };
    }
    return found && { text: textAt(found.place), width: found.width };
  };
}

/** A node of the trie. `place`: of the text, where a rule ends. */
interface State {
  node: number;
  place?: number | undefined;
}
const START: State = { node: 0 };

/** A double array as darts-clone lays it out, a word of 32 bits for each node. */
function createTrie(bytes: Uint8Array): (state: State, byte: number) => State | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words = Uint32Array.from({ length: bytes.length / 4 }, (_, index) => view.getUint32(4 * index, LITTLE_ENDIAN));
  const wordAt = (node: number) => words[node] ?? 0;
  const children = (node: number) => node ^ ((wordAt(node) >>> 10) << ((wordAt(node) & 0x200) >>> 6));
  const isEnd = (node: number) => (wordAt(node) & 0x100) !== 0;
  const label = (node: number) => wordAt(node) & 0x800000ff;

  return ({ node }, byte) => {
    const next = children(node) ^ byte;
    if (label(next) !== byte) return undefined;
    return { node: next, place: isEnd(next) ? wordAt(children(next)) & 0x7fffffff : undefined };
  };
}
