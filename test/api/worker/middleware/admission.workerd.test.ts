// An isolate that has as much to compute as it takes: what needs it is refused, and what needs none of it is answered.
import { expect, test } from 'vitest';
import { createAdmission } from '../../../../api/worker/middleware/admission.ts';
import { OPERATIONS } from '../../../../contracts/src/api/operations.ts';
import { appOf, tableModel } from '../table-model.ts';

const never = () => new Promise<never>(() => {});
/** Operations that only keep and hand on, of all that are asked by POST. */
const KEEPING = [
  'upload',
  ...['createJob', 'createFile', 'addUploadPart', 'completeUpload', 'cancelUpload', 'createBatch', 'cancelBatch'],
];

test.each(Object.entries(OPERATIONS).filter(([, { method }]) => method === 'POST'))(
  'of %s a busy isolate says that it is busy only where it would have to compute',
  async (id, { path }) => {
    const admission = createAdmission();
    for (let request = 0; request < 100; request++) {
      admission(new AbortController().signal)({ kind: 'student', size: 6 }, never).catch(() => {});
    }
    const { post } = appOf(await tableModel(), { admission });
    const { status } = await post(path.replace(/\{\w+\}/, 'some_0123456789abcdef'), {});
    if (KEEPING.includes(id)) expect(status).not.toBe(429);
    else expect(status).toBe(429);
  },
);
