// A form's `text` and `image` fields become items in the order sent; files stay bytes. Its other fields are options.
import { EmbedRequest } from '../../../contracts/src/api/embed.ts';
import type { EmbedInput } from '../../core/embed.ts';
import { CoreError } from '../../core/errors.ts';
import type { Item } from '../../core/items/items.ts';
import { parseRequest } from '../../core/validation.ts';

const Options = EmbedRequest.omit({ input: true });

/** Field values as a form has them: `types` separated by commas or repeated. */
export async function parseEmbedForm(form: FormData) {
  const input: Item[] = [];
  const types: string[] = [];
  const rest: Record<string, unknown> = {};
  for (const [name, value] of form) {
    if (name === 'image') input.push({ image: typeof value === 'string' ? value : await fileBytes(value) });
    else if (typeof value !== 'string') {
      throw new CoreError('wrong_type', `Only image may be a file, not ${name}.`, { param: name });
    } else if (name === 'text') input.push({ text: value });
    else if (name === 'types') types.push(...value.split(',').map((type) => type.trim()));
    else rest[name] = name === 'dimensions' && /^\d{1,9}$/.test(value) ? Number(value) : value;
  }
  const options = parseRequest(Options, { ...rest, ...(types.length > 0 ? { types } : {}) });
  return { ...options, input } satisfies EmbedInput;
}

async function fileBytes(file: Blob): Promise<Uint8Array> {
  return new Uint8Array(await file.arrayBuffer());
}
