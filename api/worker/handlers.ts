// The table of handlers by operation. Each file is read with the first request for it, so that an isolate builds the schemas of the doors
// and routes that it is asked for, and no others.
import type { OperationId } from '../../contracts/src/api/operations.ts';
import type { Handler } from './dependencies.ts';

const jobs = async () => (await import('./routes/bulk/jobs.ts')).JOB_HANDLERS;
const openai = async () => (await import('./doors/openai.ts')).OPENAI_HANDLERS;
const batches = async () => (await import('./doors/batches.ts')).BATCH_HANDLERS;
const voyage = async () => (await import('./doors/voyage.ts')).VOYAGE_HANDLERS;
const cohere = async () => (await import('./doors/cohere.ts')).COHERE_HANDLERS;
const rerank = async () => (await import('./doors/rerank.ts')).RERANK_HANDLERS;
const tei = async () => (await import('./doors/tei.ts')).TEI_HANDLERS;

/** The compiler asks for a handler of every operation. */
const FILES: Record<OperationId, () => Promise<Handler>> = {
  page: async () => (await import('./routes/page.ts')).pageRoute,
  embed: async () => (await import('./routes/embed.ts')).embedRoute,
  similarity: async () => (await import('./routes/similarity.ts')).similarityRoute,
  classify: async () => (await import('./routes/classify.ts')).classifyRoute,
  tokenize: async () => (await import('./routes/tokenize.ts')).tokenizeRoute,
  upload: async () => (await import('./routes/uploads.ts')).uploadRoute,
  listModels: async () => (await import('./routes/models.ts')).modelsRoute,
  limits: async () => (await import('./routes/limits.ts')).limitsRoute,
  isLive: async () => (await import('./routes/health.ts')).liveRoute,
  isReady: async () => (await import('./routes/health.ts')).readyRoute,
  metrics: async () => (await import('./routes/metrics.ts')).metricsRoute,
  describe: async () => (await import('./routes/page.ts')).describeRoute,
  createJob: async () => (await jobs()).createJob,
  listJobs: async () => (await jobs()).listJobs,
  getJob: async () => (await jobs()).getJob,
  cancelJob: async () => (await jobs()).cancelJob,
  getJobFile: async () => (await jobs()).getJobFile,
  createEmbeddings: async () => (await openai()).createEmbeddings,
  retrieveModel: async () => (await openai()).retrieveModel,
  createFile: async () => (await batches()).createFile,
  listFiles: async () => (await batches()).listFiles,
  retrieveFile: async () => (await batches()).retrieveFile,
  retrieveFileContent: async () => (await batches()).retrieveFileContent,
  deleteFile: async () => (await batches()).deleteFile,
  createBatch: async () => (await batches()).createBatch,
  listBatches: async () => (await batches()).listBatches,
  retrieveBatch: async () => (await batches()).retrieveBatch,
  cancelBatch: async () => (await batches()).cancelBatch,
  addUploadPart: async () => (await batches()).addUploadPart,
  completeUpload: async () => (await batches()).completeUpload,
  cancelUpload: async () => (await batches()).cancelUpload,
  embedMultimodal: async () => (await voyage()).embedMultimodal,
  cohereEmbed: async () => (await cohere()).cohereEmbed,
  cohereV1Embed: async () => (await cohere()).cohereV1Embed,
  rerank: async () => (await rerank()).rerank,
  cohereRerank: async () => (await rerank()).cohereRerank,
  task: async () => (await tei()).task,
  teiRerank: async () => (await tei()).teiRerank,
  info: async () => (await tei()).info,
};

const read = new Map<OperationId, Handler>();

export async function handlerOf(id: OperationId): Promise<Handler> {
  const handler = read.get(id) ?? (await FILES[id]());
  read.set(id, handler);
  return handler;
}
