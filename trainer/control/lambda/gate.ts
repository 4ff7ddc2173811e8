// State Gate of the training state machine: reads what was measured, decides, writes nothing.
import { z } from 'zod';
import { candidateOf } from '../../../api/pack/candidate.ts';
import { decide } from '../../../api/registry/gate.ts';
import { readIncumbent } from '../../../api/registry/history.ts';
import { type GateDecision, PipelinePlan } from '../../../contracts/src/training/pipeline.ts';
import { openRegistry } from './environment.ts';

const GateEvent = z.object({ plan: PipelinePlan });

export async function handler(event: unknown): Promise<GateDecision> {
  const { plan } = GateEvent.parse(event);
  const registry = openRegistry(process.env);
  const candidate = await candidateOf(plan);
  return decide(candidate, await readIncumbent(registry, candidate.manifest.name));
}
