// One arm of `npm run bench:images`: a process that encodes photographs when it is asked for a round, and says what it took.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** CPU milliseconds of all photographs, and their vectors where it has those of the model. */
export interface Round {
  ms: number;
  vectors?: number[][];
}

export interface Arm {
  name: string;
  round(): Promise<Round>;
  close(): void;
}

/** The process reads a line for every round and answers with one. */
export function openArm(name: string, command: string, words: string[], env: NodeJS.ProcessEnv): Arm {
  const child: ChildProcess = spawn(command, words, { stdio: ['pipe', 'pipe', 'pipe'], env });
  let said = '';
  const waiting: { resolve(round: Round): void; reject(error: Error): void }[] = [];
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    waiting.shift()?.resolve(JSON.parse(line) as Round);
  });
  createInterface({ input: child.stderr as NodeJS.ReadableStream }).on('line', (line) => {
    if (line.trim() !== '') said = line.trim();
  });
  child.once('close', (code) => {
    for (const { reject } of waiting.splice(0)) reject(new Error(`${name} ended with ${code}: ${said}`));
  });
  // A process that is gone is told of by its end.
  child.stdin?.on('error', () => {});
  return {
    name,
    round: () =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        child.stdin?.write('\n');
      }),
    close: () => child.stdin?.end(),
  };
}
