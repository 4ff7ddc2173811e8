// One-word texts over several connections at once: requests a second of a Worker beside one with another engine, in turns.
import { createClient } from '../../soak/load.ts';
import { cpuMs } from '../process.ts';
import { inRounds, medians } from '../rounds.ts';
import type { Server } from './server.ts';
import { WORDS } from './texts.ts';

export interface ThroughputFigures {
  connections: number;
  /** Requests answered a second, medians of the rounds; those refused are not counted. */
  own_per_second: number;
  web_per_second: number;
  /** Requests answered for a second of workerd's CPU, which other work on the machine hardly changes. */
  own_per_cpu_second: number;
  web_per_cpu_second: number;
  /** Shares of requests that were refused, as those are that would wait for too long. */
  own_refused: number;
  web_refused: number;
}

export interface ThroughputOptions {
  connections: number[];
  rounds: number;
  /** Of one server's turn. */
  seconds: number;
}

interface Turn {
  perSecond: number;
  perCpuSecond: number;
  refused: number;
}

export async function measureThroughput(
  { own, web }: { own: Server; web: Server },
  { connections, rounds, seconds }: ThroughputOptions,
): Promise<ThroughputFigures[]> {
  const figures: ThroughputFigures[] = [];
  for (const count of connections) {
    const turns = async () => [await oneTurn(own, count, seconds), await oneTurn(web, count, seconds)] as const;
    const taken = await inRounds(rounds, turns, 1);
    const [ours, others] = [medians(taken.map(([turn]) => turn)), medians(taken.map(([, turn]) => turn))];
    figures.push({
      connections: count,
      own_per_second: ours.perSecond,
      web_per_second: others.perSecond,
      own_per_cpu_second: ours.perCpuSecond,
      web_per_cpu_second: others.perCpuSecond,
      own_refused: ours.refused,
      web_refused: others.refused,
    });
  }
  return figures;
}

/** Every connection sends its next request when its last one is answered. */
async function oneTurn({ url, pid }: Server, connections: number, seconds: number): Promise<Turn> {
  const client = createClient(url);
  const [started, before] = [performance.now(), cpuMs(pid)];
  const end = started + seconds * 1000;
  let [answered, refused] = [0, 0];
  async function connection(number: number): Promise<void> {
    for (let i = number; performance.now() < end; i++) {
      const { status } = await client.post({ input: WORDS[i % WORDS.length], types: ['base64'] });
      if (status === 200) answered += 1;
      else if (status === 429 || status === 503) refused += 1;
      else throw new Error(`a request of one word was answered with ${status}`);
    }
  }
  try {
    await Promise.all(Array.from({ length: connections }, (_, number) => connection(number)));
  } finally {
    client.close();
  }
  const [wall, cpu] = [performance.now() - started, cpuMs(pid) - before];
  return {
    perSecond: (answered / wall) * 1000,
    perCpuSecond: (answered / cpu) * 1000,
    refused: refused / (answered + refused),
  };
}
