// OpenAI's embeddings and models, whose path Jina's and Voyage's bodies share.
import type { Operation } from '../operation.ts';

export const OPENAI_OPERATIONS = {} as const satisfies Record<string, Operation>;
