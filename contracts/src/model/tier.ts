// The text models of one model, by a name that requests and manifests have.
import * as z from 'zod';

/** From the most exact to the fastest. */
export const Tier = z.enum(['student', 'tiny', 'static']).meta({
  title: 'Tier',
  description:
    '`student`: the transformer. `tiny`: a smaller one, for half of the time or less. `static`: the token table, ' +
    'microseconds per text.',
});
export type Tier = z.infer<typeof Tier>;
