// Every document that two parts exchange, by name: a JSON Schema, a Python type and golden examples exist for each.
import { EmbedRequest, EmbedResponse } from './embed.ts';
import { EncodeRequest, EncodeResponse } from './encode.ts';
import { ErrorBody } from './error.ts';
import { ModelManifest } from './manifest.ts';
import { LiveReport, ModelList, ReadyReport } from './models.ts';
import { ModelPointer } from './pointer.ts';
import { Recipe } from './recipe.ts';
import { SimilarityRequest, SimilarityResponse } from './similarity.ts';
import { ProgressLine, TrainingJob, TrainingReport } from './training-job.ts';

export const DOCUMENTS = {
  EmbedRequest,
  EmbedResponse,
  SimilarityRequest,
  SimilarityResponse,
  EncodeRequest,
  EncodeResponse,
  ErrorBody,
  LiveReport,
  ReadyReport,
  ModelList,
  ModelManifest,
  ModelPointer,
  Recipe,
  TrainingJob,
  TrainingReport,
  ProgressLine,
} as const;
export type DocumentName = keyof typeof DOCUMENTS;
