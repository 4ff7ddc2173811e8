// Documents of any modality in the order of how well they match a query: what every request for reranking comes down to.
import type { Truncate, TruncationReceipt, Usage } from '../../contracts/src/api/embed.ts';
import { type EmbeddedPart, type Engines, embedItems } from './embed.ts';
import { checkImages, type Item, placeItems } from './items/items.ts';
import { chooseModel, type Model } from './model.ts';
import { logistic } from './similarity/logistic.ts';
import { cosine, probability } from './similarity/scores.ts';

export interface RerankInput {
  model?: string | undefined;
  query: Item;
  documents: Item[];
  /** How many are answered, the best ones; absent: all. */
  topN?: number | undefined;
  truncate?: Truncate | undefined;
  /** Tokens of a document that are read at most, special ones not counted; absent: what the model reads. */
  documentTokens?: number | undefined;
  /** What the request calls its documents; absent: `documents`. */
  field?: string;
}

export interface Ranked {
  /** Index into the documents. */
  index: number;
  /** Cosine of query and document, in -1..1. */
  score: number;
  /** Probability in 0..1 that both mean the same, by the model's calibration for their modalities. */
  relevance: number;
  /** How much of a text was read. */
  truncation?: TruncationReceipt;
  /** Of a document that has several. */
  parts?: EmbeddedPart[];
}
export interface RerankOutput {
  model: string;
  space_id: string;
  /** The best first. */
  ranked: Ranked[];
  /** How much of a query's text was read. */
  truncation?: TruncationReceipt;
  usage: Usage;
}

/**
 * By relevance and not by cosine: cosines of a text with texts and with images lie in different ranges. Equal ones keep
 * the order of the documents.
 */
export async function rerank(model: Model, engines: Engines, asked: RerankInput): Promise<RerankOutput> {
  const { query, topN, truncate = 'end', field = 'documents' } = asked;
  const { id, tier } = chooseModel(model, asked.model);
  const { space_id, embed_dim: dimensions, calibration } = model.manifest;
  const places = placeItems(asked.documents, field).map((item) => ({ ...item, maxTokens: asked.documentTokens }));
  checkImages([query, ...asked.documents], ['query', field]);
  const placed = [{ item: query, place: { item: 0, param: 'query' } }, ...places];
  const { embedded, usage } = await embedItems({ model, engines }, placed, { tier, dimensions, truncate });
  const [asking, ...documents] = embedded;
  if (!asking) throw new Error('nothing came back for the query');
  const ranked = documents.map((document, index): Ranked => {
    const score = cosine(asking, document);
    // Cosines with a text and an image together lie between those with either; the map of a text and an image is nearest.
    const relevance =
      probability(score, [asking.modality, document.modality], calibration) ?? logistic(score, calibration.text_image);
    const { truncation, parts } = document;
    return { index, score, relevance, ...(truncation ? { truncation } : {}), ...(parts ? { parts } : {}) };
  });
  ranked.sort((a, b) => b.relevance - a.relevance || b.score - a.score || a.index - b.index);
  const { truncation } = asking;
  return { model: id, space_id, ranked: ranked.slice(0, topN), ...(truncation ? { truncation } : {}), usage };
}
