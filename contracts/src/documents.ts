// Every document that two parts exchange, by name: a JSON Schema, a Python type and golden examples exist for each.
import { EmbedRequest, EmbedResponse } from './api/embed.ts';
import { EncodeRequest, EncodeResponse } from './api/encode.ts';
import { ErrorBody } from './api/error.ts';
import { SimilarityRequest, SimilarityResponse } from './api/similarity.ts';
import { ModelManifest } from './model/manifest.ts';
import { ModelPointer } from './model/pointer.ts';
import { ModelRelease } from './model/release.ts';
import { ProgressLine, TrainingJob, TrainingReport } from './training/job.ts';
import { GateDecision, PipelinePlan } from './training/pipeline.ts';
import { Recipe } from './training/recipe.ts';

export const DOCUMENTS = {
  EmbedRequest,
  EmbedResponse,
  EncodeRequest,
  EncodeResponse,
  ErrorBody,
  GateDecision,
  ModelManifest,
  ModelPointer,
  ModelRelease,
  PipelinePlan,
  ProgressLine,
  Recipe,
  SimilarityRequest,
  SimilarityResponse,
  TrainingJob,
  TrainingReport,
};
