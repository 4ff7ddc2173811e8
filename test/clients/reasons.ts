// Why clients cannot do something, and what is to be set, where several have the same reason.
export const NO_MODELS = 'has no call that lists models';
export const NO_RERANK = 'has no reranking';
export const NO_IMAGES = 'takes texts only';
export const NO_TYPES = 'reads vectors of floats only';
export const NO_DIMENSIONS = 'has no option for the length';
export const ONLY_NUMBERS = 'has no option, it reads numbers';
export const ONLY_BASE64 = 'has no option, it asks for base64';
export const NO_RETRY = 'never tries again';
export const BLIND = 'does not look at the status and takes the error for vectors';

/** Of a client that cuts lists itself, into requests that may be too large. */
export const inBatches = (count: string, advice: string): string =>
  `Of a long list it sends ${count} texts a request: where they are long, ${advice}.`;
