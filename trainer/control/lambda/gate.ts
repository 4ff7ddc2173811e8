// State Gate of the training state machine: reads what was measured, decides, writes nothing.
import { z } from 'zod';
import { packCandidate } from '../../../api/pack/candidate.ts';
import { readCandidate } from '../../../api/registry/candidate.ts';
import { decide } from '../../../api/registry/gate.ts';
import { readIncumbent } from '../../../api/registry/history.ts';
import { openStore } from '../../../api/registry/stores/open.ts';
import { type GateDecision, PipelinePlan } from '../../../contracts/src/training/pipeline.ts';
import { openRegistry } from './environment.ts';

const GateEvent = z.object({ plan: PipelinePlan });

export async function handler(event: unknown): Promise<GateDecision> {
  const { plan } = GateEvent.parse(event);
  const registry = openRegistry(process.env);
  const trained = await readCandidate(openStore(plan.exported), openStore(plan.evaluated), plan.dev_data);
  const candidate = await packCandidate(trained);
  return decide(candidate, await readIncumbent(registry, candidate.manifest.name));
}
