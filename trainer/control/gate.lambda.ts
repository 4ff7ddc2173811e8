// State Gate of the training state machine: reads what was measured, decides, writes nothing.
import { z } from 'zod';
import { type GateDecision, PipelinePlan } from '../../contracts/src/pipeline.ts';
import { decide } from './gate.ts';
import { openRegistry } from './lambda-environment.ts';
import { openStore } from './object-store.ts';
import { readCandidate } from './publish.ts';
import { readIncumbent } from './registry.ts';

const Event = z.object({ plan: PipelinePlan });

export async function handler(event: unknown): Promise<GateDecision> {
  const { plan } = Event.parse(event);
  const registry = await openRegistry(process.env);
  const candidate = await readCandidate(openStore(plan.exported), openStore(plan.evaluated), plan.dev_data);
  return decide(candidate, await readIncumbent(registry, candidate.manifest.name));
}
