// Characters at the end of a text, counted from its end: the regular expression /x+$/ begins anew at every x, in quadratic time where they end nothing.

/** How many times `character`, which is one unit of UTF-16, stands at the end. */
export function countTrailing(text: string, character: string): number {
  let end = text.length;
  while (text[end - 1] === character) end--;
  return text.length - end;
}

export function withoutTrailing(text: string, character: string): string {
  return text.slice(0, text.length - countTrailing(text, character));
}
