// POST /v1/uploads: where a client may put an image file by itself; and images of requests that name such a file.
import type { OnError } from '../../../contracts/src/api/embed.ts';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { UPLOAD_SCHEME, UploadRequest } from '../../../contracts/src/api/tasks/upload.ts';
import { Digest } from '../../../contracts/src/model/artefact.ts';
import { CoreError } from '../../core/errors.ts';
import type { ImagePart, Item, Part, Place } from '../../core/items/items.ts';
import { parseRequest } from '../../core/validation.ts';
import type { Call } from '../dependencies.ts';
import { beginUpload, isUploadOfParts, refuseScope } from '../doors/batches.ts';
import { readJson } from '../http/body.ts';
import type { Reply } from '../http/reply.ts';

export async function uploadRoute(call: Call): Promise<Reply> {
  const { uploads } = call.deps;
  const body = await readJson(call.request);
  if (isUploadOfParts(body)) return beginUpload(call, body);
  refuseScope(call, 'embed');
  const file = parseRequest(UploadRequest, body);
  if (uploads === undefined) throw nowhere();
  return { json: await uploads.presign(file) };
}

/** Where a bulk job itself reads an item that is one image and names an upload; undefined: the Worker has to read it. */
export function jobUriOf({ deps: { uploads } }: Call, item: Item): string | undefined {
  if (!uploads?.jobUri || typeof item === 'string' || !('image' in item) || 'text' in item) return undefined;
  const digest = Digest.safeParse(nameIn(item.image));
  return digest.success ? uploads.jobUri(digest.data) : undefined;
}

/** What an image names; undefined: it is one itself. */
function nameIn(image: string | Uint8Array | undefined): string | undefined {
  const isName = typeof image === 'string' && image.startsWith(UPLOAD_SCHEME);
  return isName ? image.slice(UPLOAD_SCHEME.length) : undefined;
}

interface Finding {
  /** Whether an item stays as it is; absent: none does. */
  isKept?: (item: Item) => boolean;
  /** `partial`: what cannot be had is an item with that error. Absent: it is thrown. */
  onError?: OnError | undefined;
}

/** Items with the bytes of the files that they name, which together may be as large as a body. */
export async function withUploads(
  { deps: { uploads } }: Call,
  items: Item[],
  { isKept = () => false, onError = 'fail' }: Finding = {},
): Promise<Item[]> {
  let room: number = LIMITS.body_bytes;
  const read = async <T extends object>(part: T, place: Place): Promise<T> => {
    const name = 'image' in part ? nameIn(part.image as ImagePart['image']) : undefined;
    if (name === undefined) return part;
    if (uploads === undefined) throw nowhere(place);
    const digest = Digest.safeParse(name);
    const file = digest.success && room >= 0 ? await uploads.read(digest.data) : undefined;
    room -= file?.length ?? 0;
    if (room < 0) {
      const message = `The uploads that a request names may have ${LIMITS.body_bytes} bytes together: split the request.`;
      throw new CoreError('body_too_large', message, { ...place });
    }
    if (file === undefined) {
      const message = `${place.param}: there is no such upload: put the file to the address that POST /v1/uploads gives, then name it.`;
      throw new CoreError('not_found', message, { ...place });
    }
    return { ...part, image: file };
  };
  const find = async (item: Item, place: Place): Promise<Item> => {
    if (typeof item === 'string' || isKept(item)) return item;
    if (!('content' in item)) return read(item, place);
    const content: Part[] = [];
    for (const [at, part] of item.content.entries())
      content.push(await read(part, { ...place, param: `${place.param}.content.${at}` }));
    return { content };
  };
  const found: Item[] = [];
  for (const [index, item] of items.entries()) {
    try {
      found.push(await find(item, { item: index, param: `input.${index}` }));
    } catch (error) {
      if (onError === 'fail' || !(error instanceof CoreError)) throw error;
      found.push({ missing: error });
    }
  }
  return found;
}

function nowhere(place?: Place): CoreError {
  const message = 'This deployment has no store of uploads (UPLOADS): send images in the request itself.';
  return new CoreError('not_configured', message, { ...place });
}
