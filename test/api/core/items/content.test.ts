// Items as our own bodies and chat messages write them, as the core takes them.
import { describe, expect, test } from 'vitest';
import { toItem } from '../../../../api/core/items/content.ts';
import { InputItem } from '../../../../contracts/src/api/items.ts';

const URI = 'data:image/png;base64,AAAA';

describe('an item', () => {
  test.each([
    ['a string', 'a dog', 'a dog'],
    ['a text', { text: 'a dog' }, { text: 'a dog' }],
    ['an image', { image: URI }, { image: URI }],
    ['a text and an image', { text: 'a dog', image: URI }, { text: 'a dog', image: URI }],
    ["OpenAI's text", { type: 'text', text: 'a dog' }, { text: 'a dog' }],
    ["OpenAI's and Cohere's image", { type: 'image_url', image_url: { url: URI, detail: 'low' } }, { image: URI }],
    ["Voyage's image by URL", { type: 'image_url', image_url: URI }, { image: URI }],
    ["Voyage's image by base64", { type: 'image_base64', image_base64: URI }, { image: URI }],
    [
      'parts of both kinds',
      { content: [{ text: 'a dog' }, { type: 'text', text: 'a cat' }, { type: 'image_url', image_url: URI }] },
      { content: [{ text: 'a dog' }, { text: 'a cat' }, { image: URI }] },
    ],
  ])('of %s', (_, sent, item) => {
    expect(toItem(InputItem.parse(sent))).toEqual(item);
  });
});
