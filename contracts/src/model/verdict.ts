// Whether a search found anything: what the cosine of its best hit says, by how many things were searched.
import * as z from 'zod';

const perCount = (what: string) => z.array(z.number()).min(1).describe(what);

export const SearchVerdict = z
  .strictObject({
    counts: z
      .array(z.int().positive())
      .min(1)
      .describe('How many things were searched, ascending: the other lists have one number for each.'),
    scales: perCount('Factors of the cosine of the best hit; not negative.'),
    biases: perCount('Added to the scaled cosine.'),
    absent_below: perCount('Nothing matches where the cosine of the best hit is lower.'),
    present_above: perCount('Something matches where it is higher; never below `absent_below`.'),
  })
  .meta({
    title: 'SearchVerdict',
    description:
      'Fitted on searches in the dev split, each once with what matches among the candidates and once without it: ' +
      'probability = 1 / (1 + exp(-(scale * cosine + bias))). Between two counts every number is linear in the logarithm of ' +
      'the count. Beyond the last one the scale stays, and the others go on as they went between the last two.',
  });
export type SearchVerdict = z.infer<typeof SearchVerdict>;

export const ShortTexts = z
  .strictObject({
    max_tokens: z
      .int()
      .positive()
      .describe('Tokens that such a text has at most, as `tokens_total` of its receipt counts them for this tier.'),
    text_image: SearchVerdict.describe('Such a text among images.'),
    text_text: SearchVerdict.optional().describe('Such a text among longer texts; absent: judged as longer texts are.'),
    image_text: SearchVerdict.optional().describe('An image among such texts; absent: as among longer ones.'),
    long_text: SearchVerdict.optional().describe('A longer text among such texts; absent: as among longer ones.'),
  })
  .meta({
    title: 'ShortTexts',
    description:
      'Names and other texts of a few words have lower cosines with what they name than captions have. Fitted on searches by ' +
      'the words that most captions of an image share, and among them, each once with what matches and once without it.',
  });
export type ShortTexts = z.infer<typeof ShortTexts>;

export const SearchVerdicts = z
  .strictObject({
    text_image: SearchVerdict.describe('A text among images.'),
    image_text: SearchVerdict.describe('An image among texts.'),
    text_text: SearchVerdict.describe('A text among texts.'),
    image_image: SearchVerdict.describe('An image among images.'),
    short_texts: ShortTexts.optional().describe(
      'In the place of the others where one side is a short text; absent: they are no exception.',
    ),
  })
  .meta({
    title: 'SearchVerdicts',
    description: 'Of one tier at full length, by what searched and what was searched.',
  });
export type SearchVerdicts = z.infer<typeof SearchVerdicts>;
