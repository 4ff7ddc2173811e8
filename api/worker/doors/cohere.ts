// Cohere's embeddings and reranking.
import type { COHERE_OPERATIONS } from '../../../contracts/src/api/doors/cohere.ts';
import type { Handler } from '../dependencies.ts';

export const COHERE_HANDLERS: Record<keyof typeof COHERE_OPERATIONS, Handler> = {};
