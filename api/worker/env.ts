// The Worker's bindings and variables as a schema; wrangler.toml and `npm start` set them.
import { z } from 'zod';

export const Env = z.object({
  /** Where the image encoder listens, without a slash at the end; absent: images are refused with a reason. */
  ENCODER_URL: z.url().optional(),
});
export type Env = z.infer<typeof Env>;
