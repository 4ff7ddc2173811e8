// State Publish of the training state machine: artefacts, manifest, release, and the pointer last.
import { z } from 'zod';
import { GateDecision, PipelinePlan, type Published } from '../../contracts/src/pipeline.ts';
import { openRegistry } from './lambda-environment.ts';
import { openStore } from './object-store.ts';
import { publishModel, readCandidate } from './publish.ts';

const Event = z.object({ plan: PipelinePlan, decision: GateDecision });

export async function handler(event: unknown): Promise<Published> {
  const { plan, decision } = Event.parse(event);
  const registry = await openRegistry(process.env);
  const candidate = await readCandidate(openStore(plan.exported), openStore(plan.evaluated), plan.dev_data);
  return publishModel(registry, candidate, decision);
}
