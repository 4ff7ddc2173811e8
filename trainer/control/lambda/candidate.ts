// The model that a finished plan made, as states Gate and Publish see it: both have to mean one digest.
import { packCandidate } from '../../../api/pack/candidate.ts';
import { type ExportedModel, readCandidate } from '../../../api/registry/candidate.ts';
import { openStore } from '../../../api/registry/stores/open.ts';
import type { PipelinePlan } from '../../../contracts/src/training/pipeline.ts';

/** What its runs say of it, checked, with packed text weights beside its files. */
export async function candidateOf({ exported, evaluated, dev_data }: PipelinePlan): Promise<ExportedModel> {
  return packCandidate(await readCandidate(openStore(exported), openStore(evaluated), dev_data));
}
