// Lists by pages, as OpenAI's clients turn them: the newest first, and on behind the last one of the page before.
import * as z from 'zod';

/** Of a page: as many as there are without a `limit`, and at most. */
export const PAGE_ITEMS = { normal: 20, most: 100 } as const;

/** Parameters of the address of a list. */
export const PAGE = {
  after: z.string().min(1).describe('Id of the last one of the page before; absent: from the newest on.'),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(10_000)
    .describe(`How many are wanted; absent: ${PAGE_ITEMS.normal}. A page has ${PAGE_ITEMS.most} at most.`),
};

export const PageQuery = z.strictObject(PAGE).partial();
export type PageQuery = z.infer<typeof PageQuery>;

/** A page as every list of ours has it. */
export const paged = <T extends z.ZodType>(data: T) =>
  z.strictObject({
    object: z.literal('list').describe('Name of this form.'),
    data: z.array(data).describe('The newest first.'),
    has_more: z.boolean().describe('Whether there are older ones.'),
    first_id: z.string().nullable().describe('Id of the first one; null: there is none.'),
    last_id: z.string().nullable().describe('Id of the last one, for `after`; null: there is none.'),
  });
