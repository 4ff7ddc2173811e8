// A form's `text` and `image` fields become items in the order sent; files stay bytes. Its other fields are options.
import { EmbedRequest } from '../../../contracts/src/api/embed.ts';
import type { EmbedInput } from '../../core/embed.ts';
import { CoreError, shortened } from '../../core/errors.ts';
import type { Item } from '../../core/items/items.ts';
import { parseRequest } from '../../core/validation.ts';
import type { FormField } from './multipart.ts';

const Options = EmbedRequest.omit({ input: true });

/** What a form calls its items. Some clients write a field that may occur several times with brackets. */
const ITEM_FIELDS = ['text', 'image', 'types'];

/** Field values as a form has them: `types` separated by commas or repeated. */
export function parseEmbedForm(form: FormField[]) {
  const input: Item[] = [];
  const types: string[] = [];
  // No object: a field may be called `__proto__`.
  const rest = new Map<string, unknown>();
  for (const { name: written, value } of form) {
    const bare = written.replace(/\[\d*\]$/, '');
    const name = ITEM_FIELDS.includes(bare) ? bare : written;
    if (name === 'image') input.push({ image: value });
    else if (typeof value !== 'string') {
      throw new CoreError('wrong_type', `Only the field image may be a file, not ${shortened(name)}.`, { param: name });
    } else if (name === 'text') input.push({ text: value });
    else if (name === 'types') types.push(...value.split(',').map((type) => type.trim()));
    else if (['input', 'inputs', 'texts', 'images', 'file'].includes(bare)) {
      const message = `A form takes text and image fields, one for each item, not ${shortened(name)}.`;
      throw new CoreError('unknown_key', message, { param: name });
    } else if (rest.has(name)) {
      throw new CoreError('invalid_request', `${shortened(name)} is in the form several times: send it once.`, {
        param: name,
      });
    } else rest.set(name, name === 'dimensions' && /^\d{1,9}$/.test(value) ? Number(value) : value);
  }
  const options = parseRequest(Options, { ...Object.fromEntries(rest), ...(types.length > 0 ? { types } : {}) });
  return { ...options, input } satisfies EmbedInput;
}
