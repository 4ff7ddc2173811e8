// Infinity's embeddings, on OpenAI's path.
import {
  INFINITY_NO_MODEL,
  InfinityEmbeddingsRequest,
  InfinityRerankRequest,
  type InfinityRerankResponse,
} from '../../../contracts/src/api/doors/infinity.ts';
import type { OpenAIEmbeddings } from '../../../contracts/src/api/doors/openai.ts';
import { listEmbeddings, tokenUsage } from '../../core/encode/list.ts';
import { type RerankInput, rerank } from '../../core/rerank.ts';
import { parseRequest } from '../../core/validation.ts';
import { encodeEmbedding } from '../../core/vectors/vectors.ts';
import type { Call } from '../dependencies.ts';
import type { Reply } from '../http/reply.ts';
import { withModel } from '../with-model.ts';
import { embedInput } from './embeddings.ts';

export async function infinityEmbeddings(call: Call, body: unknown): Promise<Reply> {
  const asked = parseRequest(InfinityEmbeddingsRequest, body);
  const { modality, encoding_format: type = 'float' } = asked;
  const toItem = (value: string) => (modality === 'image' ? { image: value } : value);
  const output = await embedInput(call, {
    model: namedModel(asked.model),
    dimensions: asked.dimensions || undefined,
    input: Array.isArray(asked.input) ? asked.input.map(toItem) : toItem(asked.input),
  });
  const list = listEmbeddings(output, (vector) => encodeEmbedding(vector, type, output.quantisation));
  return { json: { ...list, usage: tokenUsage(output) } satisfies OpenAIEmbeddings };
}

export async function infinityRerank(call: Call, body: unknown): Promise<Reply> {
  call.record.door = 'openai';
  const { query, documents, model, top_n, raw_scores, return_documents } = parseRequest(InfinityRerankRequest, body);
  const work = { model: namedModel(model), query, documents, topN: top_n };
  const { ranked, ...output } = await rankTexts(call, work, raw_scores);
  const { prompt_tokens, total_tokens } = output.usage;
  const results = ranked.map(({ index, score }) => ({
    index,
    relevance_score: score,
    ...(return_documents ? { document: documents[index] ?? '' } : {}),
  }));
  const usage = { prompt_tokens, total_tokens };
  const stamp = { id: call.record.requestId, created: Math.floor(Date.now() / 1000) };
  return { json: { object: 'rerank', results, model: output.model, usage, ...stamp } satisfies InfinityRerankResponse };
}

function namedModel(model: string | undefined): string | undefined {
  return model === INFINITY_NO_MODEL ? undefined : model;
}

/** TEI and Infinity score by a probability, or raw by its log-odds. */
export async function rankTexts(call: Call, work: RerankInput, isRaw = false) {
  const { ranked, calibration, ...output } = await withModel(call, async (current, engines) => ({
    ...(await rerank(current, engines, work)),
    calibration: current.manifest.calibration.text_text,
  }));
  const { scale, bias } = calibration;
  const scores = ranked.map(({ index, score, relevance }) => ({
    index,
    score: isRaw ? scale * score + bias : relevance,
  }));
  return { ...output, ranked: scores };
}
