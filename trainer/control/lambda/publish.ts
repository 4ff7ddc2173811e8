// State Publish of the training state machine: artefacts, manifest, release, and the pointer last.
import { z } from 'zod';
import { candidateOf } from '../../../api/pack/candidate.ts';
import { publishModel } from '../../../api/registry/publish.ts';
import { GateDecision, PipelinePlan, type Published } from '../../../contracts/src/training/pipeline.ts';
import { openRegistry } from './environment.ts';

const PublishEvent = z.object({ plan: PipelinePlan, decision: GateDecision });

export async function handler(event: unknown): Promise<Published> {
  const { plan, decision } = PublishEvent.parse(event);
  const registry = openRegistry(process.env);
  return publishModel(registry, await candidateOf(plan), decision);
}
