// An item of a request: a text, an image, or several of them that become one vector.
import * as z from 'zod';
import { LIMITS } from './limits.ts';

const TEXT = 'The text itself.';
/** A longer one is refused by the core, in its own words. */
const text = z.string().meta({ maxLength: LIMITS.text_chars });
const IMAGE =
  'A data URI or bare base64 of a JPEG, PNG, WebP, GIF or AVIF file. Links are refused: nothing is fetched.';

export const TextItem = z
  .strictObject({ text: text.describe(TEXT) })
  .meta({ title: 'TextItem', description: 'A text.' });
export const ImageItem = z
  .strictObject({ image: z.string().describe(IMAGE) })
  .meta({ title: 'ImageItem', description: 'An image file.' });
export const TextImageItem = z
  .strictObject({ text: z.string().describe(TEXT), image: z.string().describe(IMAGE) })
  .meta({ title: 'TextImageItem', description: 'A text and an image that become one vector.' });

/** Parts as chat messages and the multimodal bodies of OpenAI, Cohere and Voyage write them. */
export const TextContent = z
  .strictObject({ type: z.literal('text').describe('It is a text.'), text: z.string().describe(TEXT) })
  .meta({ title: 'TextContent', description: 'A text, as a content part of a chat message.' });
export const ImageUrlContent = z
  .strictObject({
    type: z.literal('image_url').describe('It is an image.'),
    image_url: z
      .union([
        z.string(),
        z
          .strictObject({
            url: z.string().describe(IMAGE),
            detail: z.unknown().optional().describe('Taken and not used.'),
          })
          .meta({ title: 'ImageUrl', description: 'Where the image is.' }),
      ])
      .describe(`${IMAGE} As a string or in an object.`),
  })
  .meta({ title: 'ImageUrlContent', description: 'An image, as a content part of a chat message.' });
export const ImageBase64Content = z
  .strictObject({
    type: z.literal('image_base64').describe('It is an image.'),
    image_base64: z.string().describe(IMAGE),
  })
  .meta({ title: 'ImageBase64Content', description: 'An image, as a content part in the form of Voyage.' });

export const ContentPart = z
  .union([TextItem, ImageItem, TextContent, ImageUrlContent, ImageBase64Content])
  .meta({ title: 'ContentPart', description: 'A text or an image, alone or as a part of an item.' });
export type ContentPart = z.infer<typeof ContentPart>;

export const ContentItem = z
  .strictObject({
    content: z.array(ContentPart).min(1).describe('Texts and images that become one vector; each counts as an item.'),
  })
  .meta({ title: 'ContentItem', description: 'Several texts and images that become one vector.' });

export const InputItem = z
  .union([text, ContentPart, TextImageItem, ContentItem], { error: 'must be text or an image' })
  .meta({
    title: 'InputItem',
    description:
      'A text, as a string or an object, an image, or several of them together. Several become one vector: the mean of ' +
      'their unit vectors, at unit length.',
  });
export type InputItem = z.infer<typeof InputItem>;
