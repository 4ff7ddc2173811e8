// Text Embeddings Inference's and Hugging Face's bare bodies.
import type { Operation } from '../operation.ts';

export const TEI_OPERATIONS = {} as const satisfies Record<string, Operation>;
