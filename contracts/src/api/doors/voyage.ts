// Voyage's multimodal embeddings and reranking.
import type { Operation } from '../operation.ts';

export const VOYAGE_OPERATIONS = {} as const satisfies Record<string, Operation>;
