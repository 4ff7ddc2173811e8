// The bucket of uploads of `npm start`: a folder that goes when the service ends, as uploads go after some days elsewhere.
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atExit } from '../../../contracts/command/at-exit.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { toFileUri } from '../../registry/stores/file-uri.ts';
import { openStore } from '../../registry/stores/open.ts';
import { startBucket } from './endpoint.ts';

const BUCKET = 'uploads';

export interface LocalUploads {
  /** What the Worker is told of it. */
  variables: Record<string, string>;
  stop(): void;
}

export async function startUploads(): Promise<LocalUploads> {
  const folder = mkdtempSync(join(tmpdir(), 'edge-clip-uploads-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  // Photos of a person: they go however this process ends.
  const takeBack = atExit(remove);
  const store = openStore(toFileUri(folder));
  const keys = { accessKeyId: 'local', secretAccessKey: randomUUID(), region: 'local' };
  const { url, stop } = await startBucket({ bucket: BUCKET, keys, store: () => store });
  return {
    variables: {
      [ENVARS.uploads]: `s3://${BUCKET}`,
      AWS_ENDPOINT_URL_S3: url,
      UPLOADS_ACCESS_KEY_ID: keys.accessKeyId,
      UPLOADS_SECRET_ACCESS_KEY: keys.secretAccessKey,
      UPLOADS_REGION: keys.region,
    },
    stop() {
      stop();
      takeBack();
      remove();
    },
  };
}
