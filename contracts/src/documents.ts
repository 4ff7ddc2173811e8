// Every document that two parts exchange, by name: a JSON Schema, a Python type and golden examples exist for each.
import { ApiKey, ApiKeyFile } from './api/api-key.ts';
import { EmbedRequest, EmbedResponse, PartialEmbedResponse } from './api/embed.ts';
import { EncodeFrame, EncodeRequest, EncodeResponse, EncoderHealth, EncodeStaged } from './api/encode.ts';
import { ErrorBody } from './api/error.ts';
import { LimitsReport } from './api/limits.ts';
import { LiveReport, ModelList, ReadyReport } from './api/models.ts';
import { PartialSimilarityResponse, SimilarityRequest, SimilarityResponse } from './api/similarity.ts';
import { ClassifyRequest, ClassifyResponse } from './api/tasks/classify.ts';
import { DryRunResponse } from './api/tasks/dry-run.ts';
import { EmbedJob, JobDryRun, JobList, JobReport, JobRequest } from './api/tasks/jobs.ts';
import { TokenizeRequest, TokenizeResponse } from './api/tasks/tokenize.ts';
import { UploadRequest, UploadResponse } from './api/tasks/upload.ts';
import { BulkFile, BulkUpload } from './bulk/file.ts';
import { BulkDone, BulkJob, BulkPlan, BulkStop, BulkSubmission, BulkTold, BulkWebhook } from './bulk/job.ts';
import { BulkError, BulkLine, BulkResult } from './bulk/lines.ts';
import { BulkBudget, BulkCharge } from './bulk/quota.ts';
import { ClassFile } from './data/class-file.ts';
import { DataIndex } from './data/data-index.ts';
import { DatasetPointer } from './data/dataset.ts';
import { FeatureManifest, PreparedManifest } from './data/shards.ts';
import { BulkEvent, FollowEvent, ListeningLine, RequestEvent } from './events.ts';
import { ModelManifest } from './model/manifest.ts';
import { ModelPointer } from './model/pointer.ts';
import { ModelRelease } from './model/release.ts';
import { AugmentJob, AugmentReport } from './training/augment.ts';
import { ProgressLine, TrainingJob, TrainingReport } from './training/job.ts';
import { Lease } from './training/lease.ts';
import {
  GateDecision,
  PipelineIdle,
  PipelineInput,
  PipelinePlan,
  Published,
  TrainingRequest,
} from './training/pipeline.ts';
import { Recipe } from './training/recipe.ts';

export const DOCUMENTS = {
  ApiKey,
  ApiKeyFile,
  AugmentJob,
  AugmentReport,
  BulkBudget,
  BulkCharge,
  BulkDone,
  BulkError,
  BulkEvent,
  BulkFile,
  BulkJob,
  BulkLine,
  BulkPlan,
  BulkResult,
  BulkStop,
  BulkSubmission,
  BulkTold,
  BulkUpload,
  BulkWebhook,
  ClassFile,
  ClassifyRequest,
  ClassifyResponse,
  DataIndex,
  DatasetPointer,
  DryRunResponse,
  EmbedJob,
  EmbedRequest,
  EmbedResponse,
  EncodeFrame,
  EncodeRequest,
  EncodeResponse,
  EncodeStaged,
  EncoderHealth,
  ErrorBody,
  FeatureManifest,
  FollowEvent,
  GateDecision,
  JobDryRun,
  JobList,
  JobReport,
  JobRequest,
  Lease,
  LimitsReport,
  ListeningLine,
  LiveReport,
  ModelList,
  ModelManifest,
  ModelPointer,
  ModelRelease,
  PartialEmbedResponse,
  PartialSimilarityResponse,
  PipelineIdle,
  PipelineInput,
  PipelinePlan,
  PreparedManifest,
  ProgressLine,
  Published,
  ReadyReport,
  Recipe,
  RequestEvent,
  SimilarityRequest,
  SimilarityResponse,
  TokenizeRequest,
  TokenizeResponse,
  TrainingJob,
  TrainingReport,
  TrainingRequest,
  UploadRequest,
  UploadResponse,
};
