// Bulk jobs: bodies are read here, everything else is done by the service that keeps them.
import type { JOB_OPERATIONS } from '../../../../contracts/src/api/tasks/jobs.ts';
import type { Call, Handler } from '../../dependencies.ts';
import { beginJob } from '../../doors/job-instead.ts';
import { passOn, queryOf } from '../../doors/pass-on.ts';
import { readJson } from '../../http/body.ts';
import { asksFirst } from '../answer.ts';

const part = (call: Call, name: 'id' | 'name'): string => encodeURIComponent(call.params[name] ?? '');

export const JOB_HANDLERS: Record<keyof typeof JOB_OPERATIONS, Handler> = {
  async createJob(call) {
    const body = await readJson(call.request);
    if (asksFirst(call.request)) return passOn(call, '/v1/jobs?dry_run=1', JSON.stringify(body));
    return { json: await beginJob(call, body) };
  },
  listJobs: (call) => passOn(call, `/v1/jobs${queryOf(call)}`),
  getJob: (call) => passOn(call, `/v1/jobs/${part(call, 'id')}`),
  cancelJob: (call) => passOn(call, `/v1/jobs/${part(call, 'id')}`),
  getJobFile: (call) => passOn(call, `/v1/jobs/${part(call, 'id')}/files/${part(call, 'name')}`),
};
