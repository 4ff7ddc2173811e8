// A row of the table of operations: what one method and path take, give and need.
import type { z } from 'zod';

/** In whose form an operation speaks; errors are written in the same form. */
export const DOORS = ['own', 'openai', 'jina', 'voyage', 'cohere', 'tei'] as const;
export type Door = (typeof DOORS)[number];

/** What a key may be good for. */
export const SCOPES = ['embed', 'jobs', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

export interface Example {
  value: object;
}

/** Where an operation is answered, and for whom: all of it that contracts/schema/routes.json holds. */
export interface Route {
  method: 'GET' | 'POST' | 'DELETE';
  /** `{name}` stands for one part of the path. */
  path: string;
  /** Other paths of the same operation. */
  aliases?: readonly string[];
  door: Door;
  /** What a caller's key must be good for; null: no key is needed. */
  scope: Scope | null;
  /** Another one that is good for it, too, where the path takes bodies of two kinds. */
  orScope?: Scope;
  /** Whether it computes for its caller, and is refused where too much waits to be computed. */
  computes?: boolean;
  /** Names of the parameters that its address may have, none of which has to be sent. */
  parameters?: readonly string[];
}

export interface Operation extends Omit<Route, 'parameters'> {
  /** Further doors whose bodies the path takes; errors about such a body are written in its form. */
  sharedWith?: readonly Door[];
  summary: string;
  description?: string;
  /** Parameters of the address by name, none of which has to be sent. */
  query?: Record<string, z.ZodType>;
  /** Whether an answer has an `ETag`, and who has it is told that nothing has changed. */
  hasTag?: boolean;
  /** Whether an answer may be had in ranges of its bytes, by its `ETag`. */
  hasRanges?: boolean;
  /** Whether the header `Idempotency-Key` names what it begins; so it does where a request may become a job. */
  hasIdempotencyKey?: boolean;
  /** The JSON body of a POST. */
  request?: z.ZodType;
  /** JSON Schema of a form that is taken instead. */
  form?: object;
  /** Bodies by name; a test sends every one of them. */
  examples?: Record<string, Example>;
  /** The answer 200; a sentence that says what it is. */
  answer: string;
  /** The answer 202, where a request may become a job: a sentence, and its document. */
  accepted?: { answer: string; response: z.ZodType };
  /** Media type of the answer, where it is not JSON. */
  answerType?: string;
  response: z.ZodType;
}
