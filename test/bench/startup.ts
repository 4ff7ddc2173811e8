// Measures the Worker before its first request: CPU of workerd while it loads and runs the modules' top level.
import { convertV4MiniflareOptions, Miniflare } from 'miniflare';
import { bundleWorker, type WorkerModule } from '../../api/dev/bundle.ts';
import { COMPATIBILITY_DATE } from '../../api/dev/local-worker.ts';
import { childrenNamed, cpuMs, median } from './process.ts';

/** Imports the module under measurement when asked to, as `wrangler check startup` does. */
const LATER: WorkerModule = {
  type: 'ESModule',
  path: 'later.js',
  contents: `export default { async fetch({ url }) {
    if (url.endsWith('/import')) await import('./index.js');
    return new Response('ok');
  } }`,
};
const EMPTY: WorkerModule = { type: 'ESModule', path: 'index.js', contents: 'export default {}' };

export interface StartupFigures {
  /** Evaluating the bundle, less evaluating an empty module. */
  cpu_ms: number;
  /** From the start of workerd until the first answer, the bundle's modules loaded and evaluated, less the same for an empty one. */
  load_and_cpu_ms: number;
  samples: number[];
}

export async function measureStartup(runs: number): Promise<StartupFigures> {
  const bundle = await bundleWorker({ minify: true });
  const samples: { evaluated: number; whole: number }[] = [];
  for (let run = 0; run < runs; run++) {
    const [ours, empty] = [await start([LATER, ...bundle]), await start([LATER, EMPTY])];
    samples.push({ evaluated: ours.evaluated - empty.evaluated, whole: ours.whole - empty.whole });
  }
  return {
    cpu_ms: median(samples.map(({ evaluated }) => evaluated)),
    load_and_cpu_ms: median(samples.map(({ whole }) => whole)),
    samples: samples.map(({ evaluated }) => evaluated),
  };
}

async function start(modules: WorkerModule[]): Promise<{ evaluated: number; whole: number }> {
  const before = new Set(childrenNamed('workerd'));
  const worker = new Miniflare(
    convertV4MiniflareOptions({
      name: 'startup',
      compatibilityDate: COMPATIBILITY_DATE,
      modulesRoot: '/',
      modules: modules.map((module) => ({ ...module, path: `/${module.path}` })),
    }),
  );
  try {
    const url = (await worker.ready).origin;
    const pid = childrenNamed('workerd').find((child) => !before.has(child)) ?? Number.NaN;
    const get = async (path: string) => void (await (await fetch(`${url}${path}`)).arrayBuffer());
    // What belongs to the connection and to the first request of any Worker is not the bundle's.
    for (let i = 0; i < 5; i++) await get('/');
    const loaded = cpuMs(pid);
    await get('/import');
    const whole = cpuMs(pid);
    return { evaluated: whole - loaded, whole };
  } finally {
    await worker.dispose();
  }
}
