// The version that every stored document carries, so that a reader refuses a form it does not know.
import * as z from 'zod';

/** What a writer puts into `schema_version`. */
export const SCHEMA_VERSION = 1;

/** Optional: documents from before this field existed are of version 1, and some of them are named by their digest. */
export const SchemaVersion = z
  .literal(SCHEMA_VERSION)
  .optional()
  .describe('Version of the form of this document; absent means 1.');
