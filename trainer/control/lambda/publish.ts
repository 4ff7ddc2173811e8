// State Publish of the training state machine: artefacts, manifest, release, and the pointer last.
import { z } from 'zod';
import { packCandidate } from '../../../api/pack/candidate.ts';
import { readCandidate } from '../../../api/registry/candidate.ts';
import { publishModel } from '../../../api/registry/publish.ts';
import { openStore } from '../../../api/registry/stores/open.ts';
import { GateDecision, PipelinePlan, type Published } from '../../../contracts/src/training/pipeline.ts';
import { openRegistry } from './environment.ts';

const PublishEvent = z.object({ plan: PipelinePlan, decision: GateDecision });

export async function handler(event: unknown): Promise<Published> {
  const { plan, decision } = PublishEvent.parse(event);
  const registry = openRegistry(process.env);
  const trained = await readCandidate(openStore(plan.exported), openStore(plan.evaluated), plan.dev_data);
  const candidate = await packCandidate(trained);
  return publishModel(registry, candidate, decision);
}
