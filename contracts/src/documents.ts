// Every document that two parts exchange, by name: a JSON Schema, a Python type and golden examples exist for each.
import { EmbedRequest, EmbedResponse } from './embed.ts';
import { EncodeRequest, EncodeResponse } from './encode.ts';
import { ErrorBody } from './error.ts';
import { ModelManifest } from './manifest.ts';
import { GateDecision, PipelinePlan } from './pipeline.ts';
import { ModelPointer } from './pointer.ts';
import { Recipe } from './recipe.ts';
import { ModelRelease } from './release.ts';
import { SimilarityRequest, SimilarityResponse } from './similarity.ts';
import { ProgressLine, TrainingJob, TrainingReport } from './training-job.ts';

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
