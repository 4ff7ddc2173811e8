// Composition root of every host: a model folder becomes a service that is ready to answer.
import { availableParallelism } from 'node:os';
import { createAdmission, type Load } from './admission.ts';
import type { Service } from './answer.ts';
import { createEncode } from './encode.ts';
import { openSession, readManifest } from './session.ts';

export type ServiceOptions = { model: string; threads?: number; door?: Load };
export type OpenService = Service & { close(): Promise<void> };

export async function openService({ model, threads, door }: ServiceOptions): Promise<OpenService> {
  const manifest = await readManifest(model);
  const session = await openSession(model, manifest, threads ?? availableParallelism());
  const encode = createEncode(manifest, session);
  return { manifest, encode, admission: createAdmission(door), close: () => session.close() };
}
