// Cohere's embeddings and reranking.
import type { Operation } from '../operation.ts';

export const COHERE_OPERATIONS = {} as const satisfies Record<string, Operation>;
