// Text Embeddings Inference's and Hugging Face's bare bodies.
import type { TEI_OPERATIONS } from '../../../contracts/src/api/doors/tei.ts';
import type { Handler } from '../dependencies.ts';

export const TEI_HANDLERS: Record<keyof typeof TEI_OPERATIONS, Handler> = {};
