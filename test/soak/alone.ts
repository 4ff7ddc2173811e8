// Our Worker alone in workerd, without the Workers that Miniflare puts in front of it: those grow by 15 KB a request.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeStaticFiles } from '../../api/dev/assets/write.ts';
import { bundleWorker, EMBEDDED_MODEL, type WorkerModule } from '../../api/dev/bundle.ts';
import { COMPATIBILITY_DATE, COMPATIBILITY_FLAGS } from '../../api/dev/local-worker.ts';
import { ENVARS } from '../../contracts/src/envars.ts';

export interface Alone {
  url: string;
  pid: number;
  /** Has V8 collect what nothing refers to any more. Left alone it waits until the machine's memory is short. */
  collectGarbage(): Promise<void>;
  /** Has the script print a line. workerd reads 7 ms of code with the first one, which the platform has no use for. */
  print(): Promise<void>;
  stop(): Promise<void>;
}

/** The package is CommonJS and has no types: its default export is the program's path. */
const { default: WORKERD } = createRequire(import.meta.url)('workerd') as { default: string };
const COLLECT = '/collect-garbage';
const PRINT = '/print';
const START_SECONDS = 60;
/** Fields of workerd's configuration, by kind of module. */
const FIELDS = { ESModule: 'esModule', CompiledWasm: 'wasm', Text: 'text' } as const;

/** `opened`: whether to wait until its model answers; else the script has run, and no request has reached it. */
export async function startAlone({ opened = true } = {}): Promise<Alone> {
  const folder = mkdtempSync(join(tmpdir(), 'edge-clip-alone-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  await writeStaticFiles(join(folder, 'assets'), EMBEDDED_MODEL);
  writeConfig(folder, port, await bundleWorker({ minify: true }));
  const child = spawn(WORKERD, ['serve', join(folder, 'config.capnp')], { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  const stop = async () => {
    child.kill();
    await ended;
    rmSync(folder, { recursive: true });
  };
  try {
    return {
      url,
      pid: await answering(child, url + (opened ? '/health/ready' : PRINT)),
      collectGarbage: async () => void (await fetch(url + COLLECT)),
      print: async () => void (await fetch(url + PRINT)),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function answering(child: ChildProcess, address: string): Promise<number> {
  for (let tries = 0; tries < START_SECONDS * 5; tries++) {
    if (child.exitCode !== null || child.pid === undefined) throw new Error('workerd did not start: see its own lines');
    const response = await fetch(address).catch(() => undefined);
    if (response?.ok) return child.pid;
    await sleep(200);
  }
  throw new Error(`workerd did not answer within ${START_SECONDS} s`);
}

/** Modules as files, and the configuration that names them; the first one is the entry. */
function writeConfig(folder: string, port: number, modules: WorkerModule[]): void {
  const [main] = modules;
  if (main === undefined) throw new Error('the bundle holds no module');
  const entry = `import worker from ${JSON.stringify(`./${main.path}`)};
export * from ${JSON.stringify(`./${main.path}`)};
const own = { ${JSON.stringify(COLLECT)}: () => gc(), ${JSON.stringify(PRINT)}: () => console.log('{}') };
export default { ...worker, fetch(request, env, context) {
  const does = own[new URL(request.url).pathname];
  if (!does) return worker.fetch(request, env, context);
  does();
  return new Response();
} };`;
  const all: WorkerModule[] = [{ type: 'ESModule', path: 'entry.js', contents: entry }, ...modules];
  const lines = all.map(({ type, path, contents }, index) => {
    const file = `module-${index}`;
    writeFileSync(join(folder, file), contents);
    return `(name = ${JSON.stringify(path)}, ${FIELDS[type]} = embed ${JSON.stringify(file)})`;
  });
  const variables = Object.entries({
    // Nothing listens there: only texts are sent.
    [ENVARS.encoderUrl]: 'http://127.0.0.1:9',
    [ENVARS.access]: 'loopback',
    CACHE: 'memory',
  });
  const bindings = [
    '(name = "ASSETS", service = "assets")',
    ...variables.map(([name, value]) => `(name = "${name}", text = "${value}")`),
  ];
  const flags = COMPATIBILITY_FLAGS.map((flag) => JSON.stringify(flag));
  writeFileSync(
    join(folder, 'config.capnp'),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .mainWorker),
    (name = "assets", disk = ${JSON.stringify(join(folder, 'assets'))}),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
  v8Flags = ["--expose-gc"],
);
const mainWorker :Workerd.Worker = (
  modules = [${lines.join(', ')}],
  bindings = [${bindings.join(', ')}],
  durableObjectNamespaces = [(className = "KeyUsage", uniqueKey = "usage")],
  durableObjectStorage = (inMemory = void),
  compatibilityDate = "${COMPATIBILITY_DATE}",
  compatibilityFlags = [${flags.join(', ')}],
);
`,
  );
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer().once('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => (address && typeof address === 'object' ? done(address.port) : fail(new Error('no port'))));
    });
  });
}
