// Whether packed weights compute what the manifest says: its golden texts through the Worker's own engine, before anybody is served.
import type { GoldenCheck } from '../../contracts/src/api/models.ts';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { textTowers } from '../../contracts/src/model/towers.ts';
import { isReproduced, recompute } from '../core/golden.ts';
import { RegistryError } from '../registry/errors.ts';
import type { ModelSource } from '../registry/read.ts';
import { once } from '../text/once.ts';
import { openModel } from '../text/open-model.ts';
import { createWasmEngine } from '../text/wasm/engine.ts';
import { readModule } from './pack.ts';

/** Throws a RegistryError with the worst of them where a golden vector of a packed tower is not reproduced. Of other towers nothing is known. */
export async function provePacked(manifest: ModelManifest, { read }: Pick<ModelSource, 'read'>): Promise<void> {
  const towers = textTowers(manifest);
  const golden = manifest.golden.filter(({ tier }) => towers[tier]?.packed);
  if (golden.length === 0) return;
  const engine = createWasmEngine({ module: await readModule() });
  const model = await openModel({ manifest: async () => manifest, read }, { engine, once });
  try {
    const checks: GoldenCheck[] = [];
    for await (const check of recompute({ ...model, manifest: { ...manifest, golden } })) checks.push(check);
    const failed = checks.filter((check) => !isReproduced(check));
    const [worst] = failed.toSorted((a, b) => orLeast(a.cosine) - orLeast(b.cosine));
    if (!worst) return;
    throw new RegistryError(
      `the packed weights of ${manifest.name} ${manifest.version} do not compute its vectors: of ${checks.length} golden ones ${failed.length} ` +
        `fail, the worst, of ${worst.tier}, with cosine ${worst.cosine} where ${worst.min_cosine} is needed`,
    );
  } finally {
    await model.close();
  }
}

/** NaN is worse than any cosine. */
const orLeast = (cosine: number): number => (Number.isNaN(cosine) ? Number.NEGATIVE_INFINITY : cosine);
