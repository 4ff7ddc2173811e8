// An image written as text: the base64 in it, or the one reason why there is none.
import { countTrailing } from '../validation/trailing.ts';
import { isBase64 } from '../vectors/base64.ts';

/** Plain base64, padded or not; otherwise what is wrong with the text and what to send. */
export type Written = { base64: string } | { fault: string; isEmpty?: true };

const SEND = 'send base64 of the file, or a data URI such as data:image/jpeg;base64,…';
const CUT = 'part of it was lost on the way, or characters were added: encode the whole file again';

/**
 * Both alphabets of RFC 4648, with white space or without, padded or not. In a data URI, %2B and the like stand for
 * their characters, as browsers read it. Its media type is not believed; the bytes are.
 */
export function readWritten(image: string): Written {
  if (/^(https?|ftp|file|blob|s3|gs):/i.test(image)) {
    return { fault: 'links are not fetched: send the bytes of the file, as base64, as a data URI or in a form.' };
  }
  if (image.startsWith('upload:')) {
    return { fault: 'uploads are named in POST /embed alone: embed it there, or send the bytes of the file.' };
  }
  if (!/^data:/i.test(image.slice(0, 5))) return readBase64(image, { what: 'the text' });
  const comma = image.indexOf(',');
  if (comma < 0) return { fault: `the data URI has no comma, behind which its data would stand: ${SEND}` };
  if (!/;\s*base64\s*$/i.test(image.slice(0, comma))) {
    return { fault: 'the data URI is not base64: it has to say ;base64 before its comma, and its data have to be so.' };
  }
  const data = image.slice(comma + 1);
  const plain = data.includes('%') ? data.replace(/%([0-9a-f]{2})/gi, (_, hex) => byte(hex)) : data;
  return readBase64(plain, { what: 'the data URI' });
}

function byte(hex: string): string {
  return String.fromCharCode(Number.parseInt(hex, 16));
}

function readBase64(text: string, { what }: { what: string }): Written {
  const joined = /\s/.test(text) ? text.replace(/\s+/g, '') : text;
  if (joined === '') return { fault: `the file is empty: ${what} holds no data.`, isEmpty: true };
  const base64 = /[-_]/.test(joined) && !/[+/]/.test(joined) ? toStandard(joined) : joined;
  return isBase64(base64) ? { base64 } : { fault: faultOf(joined) };
}

/** From the alphabet for URLs and file names. */
function toStandard(text: string): string {
  return text.replaceAll('-', '+').replaceAll('_', '/');
}

function faultOf(text: string): string {
  if (/^b'.*'$/.test(text)) {
    return "the text is how Python prints bytes (b'…'): call .decode() on what base64.b64encode gives.";
  }
  if (/^[^,;]{1,255}\.(jpe?g|png|webp|gif|avif|heic|tiff?|bmp|svg)$/i.test(text)) {
    return `the text is a file's name: files are not opened here; ${SEND}.`;
  }
  if (/%(2b|2f|3d)/i.test(text)) {
    return 'the base64 is percent-coded (%2B, %2F, %3D): decode these first, or send a data URI.';
  }
  const at = text.search(/[^A-Za-z0-9+/_=-]/);
  if (at >= 0) {
    const character = JSON.stringify(String.fromCodePoint(text.codePointAt(at) ?? 0));
    return `base64 has no ${character}, which stands at character ${at + 1}: ${SEND}.`;
  }
  if (/[-_]/.test(text) && /[+/]/.test(text)) {
    return 'the base64 mixes two alphabets: + and / belong to one, - and _ to the one for URLs. Write all of it in one.';
  }
  const padding = countTrailing(text, '=');
  if (/=[^=]/.test(text)) {
    return '= stands within the base64: it may only end it. Send each file as an item of its own.';
  }
  const digits = text.length - padding;
  if (digits % 4 === 1) return `${digits} characters cannot be whole base64: ${CUT}.`;
  const right = (4 - (digits % 4)) % 4;
  return `the base64 ends in ${padding} = where ${right === 0 ? 'none belongs' : `${right} belong`}: ${CUT}.`;
}
