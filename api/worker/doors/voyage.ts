// Voyage's multimodal embeddings and reranking.
import type { VOYAGE_OPERATIONS } from '../../../contracts/src/api/doors/voyage.ts';
import type { Handler } from '../dependencies.ts';

export const VOYAGE_HANDLERS: Record<keyof typeof VOYAGE_OPERATIONS, Handler> = {};
