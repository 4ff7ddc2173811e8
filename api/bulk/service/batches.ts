// OpenAI's batches as bulk jobs: each line of a file is a request, and its answer a line of another file.
import { BatchRequest, type OpenAiBatch, type OpenAiBatchList } from '../../../contracts/src/api/doors/batches.ts';
import type { PageQuery } from '../../../contracts/src/api/tasks/pages.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import { parseRequest } from '../../core/validation.ts';
import { choose, modelOf } from './ask.ts';
import { type FileService, inputOfFile, listOf } from './files/files.ts';
import type { Asker, Owner, ServiceOptions, States } from './states.ts';
import { batchOf, type JobState } from './status.ts';

export interface BatchService {
  create(body: unknown, asker: Asker): Promise<OpenAiBatch>;
  list(owner: Owner, asked: PageQuery): Promise<OpenAiBatchList>;
  get(id: string, owner: Owner): Promise<OpenAiBatch>;
  cancel(id: string, owner: Owner): Promise<OpenAiBatch>;
}

export function createBatches({ store, current }: ServiceOptions, files: FileService, states: States): BatchService {
  const isBatch = ({ job }: JobState): boolean => 'endpoint' in job.output;
  const written = (state: JobState): OpenAiBatch => batchOf(state, Date.now());
  return {
    async create(body, asker) {
      const asked = parseRequest(BatchRequest, body);
      const state = await states.begin({
        kind: 'batch',
        asker,
        asked,
        async make(named) {
          const file = await files.find(asked.input_file_id, asker.owner, 'input_file_id');
          const model = await current();
          const output = { endpoint: asked.endpoint, metadata: asked.metadata ?? null, file: file.id };
          return {
            schema_version: SCHEMA_VERSION,
            ...named,
            input: inputOfFile(store, file),
            sources: [],
            video: null,
            machine: null,
            output,
            model: modelOf(model, choose(model.manifest, {}).id),
          };
        },
      });
      return written(state);
    },
    list: async (owner, asked) => listOf(await states.page('batch', owner, asked), written),
    get: async (id, owner) => written(await states.find(id, owner, isBatch)),
    cancel: async (id, owner) => written(await states.cancel(await states.find(id, owner, isBatch))),
  };
}
