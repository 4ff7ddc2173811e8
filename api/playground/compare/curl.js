// The page's own request for a shell: sentences against photos, read from files of their names, or sentences alone.
import { storedKey } from '../service/key.js';

/** @param {{texts: string[], photos: string[], model: string, dimensions: number, candidates: number | undefined}} asked */
export function curlOf({ texts, photos, candidates, ...options }) {
  // In an unquoted here-document these three are the shell's; everything else stands for itself.
  const json = (/** @type {object} */ body) => JSON.stringify(body).replace(/[\\$`]/g, '\\$&');
  const files = photos.map((name) => `'${name.replaceAll("'", "'\\''")}'`);
  const images = files.map((file) => `{"image":"$(base64 < ${file} | tr -d '\\n')"}`);
  const [path, body] =
    files.length > 0
      ? ['/similarity', `${json({ ...options, candidates, a: texts }).slice(0, -1)},"b":[${images.join(',')}]}`]
      : ['/embed', json({ ...options, input: texts })];
  // The key itself is not for a screen.
  const key = storedKey() ? ' -H "authorization: Bearer $KEY"' : '';
  return `curl ${location.origin}${path}${key} -H 'content-type: application/json' -d @- <<JSON\n${body}\nJSON`;
}
