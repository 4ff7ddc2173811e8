// The little that is read of AWS's answers in XML, where no element that is asked for has markup in it.

/** Text of the first element of that name, as it stands there; undefined where there is none, or an empty one. */
export function textIn(xml: string, name: string): string | undefined {
  return new RegExp(`<${name}>([^<]+)</${name}>`).exec(xml)?.[1];
}
