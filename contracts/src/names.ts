// Patterns of names that are parts of keys, file names and addresses, each written once.
import * as z from 'zod';

const name = (length: number) => z.string().regex(new RegExp(`^[a-z0-9][a-z0-9._-]{0,${length - 1}}$`));

/** A published model, and the first part of its keys. */
export const ModelName = name(64);

/** A training recipe: the folder of its runs and the key of its last request. */
export const RecipeName = name(64);

/** A variant of a recipe, and a part of the ids of its jobs. */
export const VariantName = z.string().regex(/^[a-z0-9][a-z0-9_]{0,31}$/);

/** One job of a plan: a stage, or a run for a comparison such as `clip-control-2`. */
export const JobId = name(128);

/** An AWS Batch job; Batch allows no dots. */
export const BatchJobName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/);

/** A job, a batch or a file of bulk jobs; the first letters are its kind. */
export const BulkJobId = z
  .string()
  .regex(/^[a-z]+_[0-9a-z]{16,64}$/)
  .describe('Name of the job, and of its folder.');
