// Measures the first vector of a new isolate: CPU of workerd from the first request until its answer, with all that is opened for
// it. Our Worker alone: what Miniflare puts before it and before its static files is another's work.
import { startAlone } from '../soak/alone.ts';
import { cpuMs, firstThreadMs, median } from './process.ts';

export interface FirstVectorFigures {
  /** Medians, of the first request of an isolate and of the same one again. Reading the static files is in the first. */
  cpu_ms: number;
  /** Of the isolate's own thread: what is left of the above is V8 compiling and collecting beside it. */
  thread_ms: number;
  wall_ms: number;
  again_cpu_ms: number;
  samples: number[];
}

/**
 * Requests that the Worker's script never sees: what belongs to connections and to printing is not measured. Nothing is collected before:
 * V8 would then begin with a small heap, and collect again within the first request, which it does in no isolate that just began.
 */
const WARM_UP = 3;

/** `runs` isolates, each in a process of its own. `model`: an id of GET /v1/models; absent: the student. */
export async function measureFirstVector(runs: number, model?: string): Promise<FirstVectorFigures> {
  const samples: Awaited<ReturnType<typeof newIsolate>>[] = [];
  for (let run = 0; run < runs; run++) samples.push(await newIsolate(model));
  return {
    cpu_ms: median(samples.map(({ first }) => first.cpu)),
    thread_ms: median(samples.map(({ first }) => first.thread)),
    wall_ms: median(samples.map(({ first }) => first.wall)),
    again_cpu_ms: median(samples.map(({ again }) => again.cpu)),
    samples: samples.map(({ first }) => first.cpu),
  };
}

async function newIsolate(model: string | undefined) {
  const { url, pid, print, stop } = await startAlone({ opened: false });
  const ask = async () => {
    const [cpu, thread, wall] = [cpuMs(pid), firstThreadMs(pid), performance.now()];
    const response = await fetch(`${url}/embed`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ input: 'a dog running through snow', types: ['base64'], model }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    return { cpu: cpuMs(pid) - cpu, thread: firstThreadMs(pid) - thread, wall: performance.now() - wall };
  };
  try {
    for (let i = 0; i < WARM_UP; i++) await print();
    return { first: await ask(), again: await ask() };
  } finally {
    await stop();
  }
}
