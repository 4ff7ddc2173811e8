// OpenAI's embeddings and models, whose path Jina's and Voyage's bodies share.
import type { OPENAI_OPERATIONS } from '../../../contracts/src/api/doors/openai.ts';
import type { Handler } from '../dependencies.ts';

export const OPENAI_HANDLERS: Record<keyof typeof OPENAI_OPERATIONS, Handler> = {};
