// Rules of the tree that neither a compiler nor a formatter keeps: size, first lines, names, who may read and import what.
import { basename, dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { BOXES, boxOf } from './floors.ts';
import { circlesOf, functionsOf, importsOf, isTest, isWritten, readTree } from './tree.ts';

const ROOT = join(import.meta.dirname, '../..');
const TREE = readTree(ROOT);
const { files: FILES, sources: SOURCES, text } = TREE;
/** What is shipped or run, tests and the files at the top apart. */
const OWN = SOURCES.filter((file) => !isTest(file) && file.includes('/'));
const IMPORTS = importsOf({ ...TREE, sources: OWN });

it('every source file says in its first line what it is', () => {
  const silent = SOURCES.filter((file) => {
    const [first = ''] = text(file).split('\n');
    return !(file.endsWith('.py') ? /^("""|#)\S?./ : /^\/\/ \S/).test(first);
  });
  expect(silent).toEqual([]);
});

it('the first line says what the file is or does, and does not begin as a question', () => {
  // A docstring is part of the code digest of the stages that execute it: another one would have their work done again. Files of
  // kernels are changed together with a measurement only.
  const kept = /^(trainer|contracts\/python)\/.*\.py$|^api\/text\/wasm\/assembly\//;
  const asking = SOURCES.filter((file) => !kept.test(file) && /^(\/\/ |"""|# )(What|How|Which) /.test(text(file)));
  expect(asking).toEqual([]);
});

it('no source file is longer than a person reads in one go', () => {
  const limit = (file: string): number => (isTest(file) ? 550 : 300);
  const long = SOURCES.map((file) => ({ file, lines: text(file).split('\n').length - 1 }));
  expect(long.filter(({ file, lines }) => lines > limit(file))).toEqual([]);
});

it('a training stage is a straight main under 60 lines: read the job, build the task, run it, report', () => {
  const lengths = OWN.filter((file) => file.startsWith('trainer/stages/')).map((file) => ({
    file,
    lines: text(file).split('\n').length - 1,
  }));
  expect(lengths.length).toBeGreaterThan(10);
  expect(lengths.filter(({ lines }) => lines >= 60)).toEqual([]);
});

it('nothing is put into a drawer', () => {
  const drawers = /(^|\/)(utils?|common|misc|helpers?|legacy|deprecated)(\/|\.|$)/;
  expect(FILES.filter((file) => drawers.test(file))).toEqual([]);
});

it('only entries and the hosts that they start read the environment', () => {
  const readers = [
    'api/bulk/hosts/open.ts',
    'api/bulk/hosts/service.ts',
    'api/bulk/hosts/shard.ts',
    'api/encoder/hosts/server.ts',
    'api/encoder/hosts/service.ts',
    // It reads nothing: ONNX Runtime is told so to keep to itself what it runs.
    'api/encoder/session.ts',
    'api/dev/local-process.ts',
    'api/dev/serve.ts',
    // npm's own variable: the folder in which a command was typed.
    'contracts/command/users-folder.ts',
    // The key of a language model's provider, by the name of its variable.
    'trainer/augment/__main__.py',
    // It sets what stages in its processes find, and knows where the data folder is.
    'trainer/bench/million/__main__.py',
    'trainer/container/__main__.py',
    'trainer/control/lambda/switch.ts',
    'trainer/control/cli/augment.ts',
    'trainer/control/cli/bench/million.ts',
    'trainer/control/cli/bench/train.ts',
    'trainer/control/cli/claims/claims.ts',
    'trainer/control/cli/datasets/data.ts',
    'trainer/control/cli/evaluate.ts',
    'trainer/control/cli/finetune/finetune.ts',
    'trainer/control/cli/gpu-check.ts',
    'trainer/control/cli/train.ts',
    'trainer/control/lambda/gate.ts',
    'trainer/control/cli/model.ts',
    'trainer/control/lambda/plan.ts',
    'trainer/control/lambda/publish.ts',
    // Where a model's name is looked up, and where its files are kept.
    'trainer/edge_clip/locate.py',
    // PROGRESS_SECONDS: a stage has no other entry than this.
    'trainer/engine/run.py',
    // It sets what libraries and stages in its processes find.
    'trainer/gpu_check/__main__.py',
    // torchrun's and AWS Batch's variables: which process of how many this is.
    'trainer/engine/launch.py',
    'trainer/engine/world.py',
    // What `npm run fuzz` asks of the suite in the Workers runtime, which has no environment.
    'vitest.config.ts',
  ];
  const found = SOURCES.filter((file) => !isTest(file) && /process\.env|os\.environ|os\.getenv/.test(text(file)));
  expect(found.sort()).toEqual(readers.sort());
});

it('only the thin ends know AWS', () => {
  const ends = [
    'trainer/container/folders.py',
    'trainer/control/lambda/switch.ts',
    'trainer/control/aws/batch.ts',
    'trainer/control/aws/logs.ts',
    'infra/deploy/aws.ts',
    'api/registry/stores/s3.ts',
  ];
  const sdk = /['"]@aws-sdk\/|^\s*(import|from) (boto3|botocore)/m;
  expect(SOURCES.filter((file) => !isTest(file) && sdk.test(text(file))).sort()).toEqual(ends.sort());
});

it('imports go down only, type imports too: each file keeps to what its box may import', () => {
  const upward = [...IMPORTS].flatMap(([file, targets]) => {
    const allowed = [boxOf(file), ...(BOXES[boxOf(file)] ?? [])];
    return targets.filter((target) => !allowed.includes(boxOf(target))).map((target) => `${file} > ${target}`);
  });
  expect(upward).toEqual([]);
  expect([...IMPORTS.keys()].filter((file) => BOXES[boxOf(file)] === undefined)).toEqual([]);
});

it('the import rule sees every package of Python, of which only stages are run and not imported', () => {
  const packageOf = (file: string): string => /^(?:trainer|contracts\/python)\/\w+/.exec(file)?.[0] ?? '';
  const python = [...IMPORTS].filter(([file]) => file.endsWith('.py') && packageOf(file) !== '');
  const imported = new Set(python.flatMap(([, targets]) => targets.map(packageOf)));
  const unseen = new Set(python.map(([file]) => packageOf(file)).filter((name) => !imported.has(name)));
  expect([...unseen]).toEqual(['trainer/stages']);
});

it('a box may import from boxes above it in the table only, and every box holds something', () => {
  const names = Object.keys(BOXES);
  for (const [at, name] of names.entries()) {
    for (const below of BOXES[name] ?? []) expect(names.slice(0, at), `${name} imports ${below}`).toContain(below);
  }
  const used = new Set([...IMPORTS.keys()].map(boxOf));
  expect(names.filter((name) => !used.has(name))).toEqual([]);
});

it('no files import each other in a circle, type imports included', () => {
  expect(circlesOf(importsOf(TREE))).toEqual([]);
});

it('nothing below contracts imports a Python package of the trainer', () => {
  const importer = /^\s*(?:from|import) (?:towers|stages|container)\b/m;
  const python = FILES.filter((file) => file.startsWith('contracts/') && file.endsWith('.py'));
  expect(python.filter((file) => importer.test(text(file)))).toEqual([]);
});

it('a folder holds at most 12 source files', () => {
  // They are reshaped by topic together with the work on scale.
  const reshaped = ['trainer/towers', 'trainer/container'];
  // One file for each row of the table of stages.
  const exempt = [...reshaped, 'trainer/stages', 'contracts/src/training/stages'];
  const sizes = new Map<string, number>();
  for (const file of OWN) sizes.set(dirname(file), (sizes.get(dirname(file)) ?? 0) + 1);
  expect([...sizes].filter(([folder, size]) => size > 12 && !exempt.includes(folder))).toEqual([]);
});

it('no function is longer than the longest of today', () => {
  const limit = (file: string): number => (file.endsWith('.py') ? 130 : 126);
  const own = { ...TREE, sources: OWN };
  expect(functionsOf(own).filter(({ file, lines }) => lines > limit(file))).toEqual([]);
});

it('only the hosts and their thin ends speak HTTP', () => {
  // Statuses and headers of all hosts' error documents are in one table, and servers of this machine in one file; one database
  // is asked over HTTP.
  const ends =
    /^api\/core\/error-document\.ts$|^contracts\/command\/local-server\.ts$|^api\/(worker\/|bulk\/(hosts\/|databases\/qdrant\.ts)|encoder\/(hosts\/|http\.ts)|dev\/|playground\/)|^contracts\/src\/api\/|^infra\//;
  const word = /\b(Response|Request|Headers)\(|\bcontent-type\b|\bstatusCode\b|\bstatus: [2-5]\d\d\b/i;
  const speaking = OWN.filter(
    (file) => /\.ts$/.test(file) && !ends.test(file) && word.test(withoutComments(text(file))),
  );
  expect(speaking).toEqual([]);
});

it('no declaration takes the name of a global of a platform', () => {
  const globals = new Set(Object.getOwnPropertyNames(globalThis).filter((name) => /^[A-Z]/.test(name)));
  const declaration = /^\s*(?:export )?(?:abstract )?(?:class|function|interface|type|const|let) (\w+)/gm;
  const shadowing = SOURCES.filter((file) => file.endsWith('.ts')).flatMap((file) =>
    [...text(file).matchAll(declaration)].flatMap(([, name = '']) => (globals.has(name) ? [`${file} ${name}`] : [])),
  );
  expect(shadowing).toEqual([]);
});

it('no boolean is passed by position: its meaning would be lost where it is called', () => {
  const literal = /[([][^()[\]{}'"`]*, (?:true|false)\)/;
  const parameter =
    /(?:function \w*|\b(?:async )?\w+)\([^(){}]*\w+: [^(){}]*, \w+\??: boolean\b[^(){}]*\)(?:: \w|\s*\{)/;
  /** A platform's own signature. */
  const isView = (line: string): boolean => /\bview\.[gs]etFloat32\(/.test(line);
  const passed = OWN.filter((file) => file.endsWith('.ts')).flatMap((file) =>
    withoutComments(text(file))
      .split('\n')
      .flatMap((line) =>
        (literal.test(line) && !isView(line)) || parameter.test(line) ? [`${file}: ${line.trim()}`] : [],
      ),
  );
  expect(passed).toEqual([]);
});

it('a test lies where its source does, and suites that cross parts lie apart', () => {
  const apart = /^test\/(journeys|clients|systems|conformance|structure|containers|bench|support|vectors)\//;
  /** Each is about a whole folder. */
  const suites = [
    'test/api/worker/faults.workerd.test.ts',
    'test/api/worker/fuzz.workerd.test.ts',
    'test/api/worker/properties.workerd.test.ts',
    'test/contracts/descriptions.test.ts',
    'test/contracts/imports.test.ts',
    'test/trainer/control/lambda/bundle.test.ts',
  ];
  const tests = FILES.filter((file) => /^test\/.*\.test\.ts$/.test(file) && !apart.test(file));
  const lost = tests.filter((file) => {
    const source = file.replace(/^test\//, '').replace(/(\.workerd)?\.test\.ts$/, '');
    // The documents are below contracts/src; a folder's own suite bears its name.
    const inSources = source.replace(/^contracts\//, 'contracts/src/');
    const folder = basename(source) === basename(dirname(source)) ? dirname(source) : source;
    return (
      ![`${source}.ts`, `${source}.js`, `${inSources}.ts`].some((path) => FILES.includes(path)) && !isFolder(folder)
    );
  });
  expect(lost.filter((file) => !suites.includes(file))).toEqual([]);
  expect(suites.filter((file) => !lost.includes(file))).toEqual([]);
});

it('code and documents use the words of the glossary', () => {
  const own = 'test/structure/structure.test.ts';
  const words =
    /\b(mend(s|ed|ing)?|for ever|looks? at the pointer|dearest|in vain|the like of|is to be had|needs not be|manieth)\b/i;
  const written = FILES.filter((file) => /\.(ts|js|py)$/.test(file) && isWritten(file) && file !== own);
  const found = written.flatMap((file) =>
    text(file)
      .split('\n')
      .flatMap((line, index) => (words.test(line) ? [`${file}:${index + 1} ${words.exec(line)?.[0]}`] : [])),
  );
  expect(found).toEqual([]);
});

it('what npm start and npm run encode load is what dependencies lists, so that --omit=dev leaves nothing out and nothing over', () => {
  const { dependencies } = JSON.parse(text('package.json')) as { dependencies: Record<string, string> };
  const bulk = ['api/bulk/hosts/encode.ts', 'api/bulk/hosts/shard.ts'];
  const entries = ['api/dev/serve.ts', 'api/encoder/hosts/server.ts', 'api/worker/with-onnxruntime.ts', ...bulk];
  const loaded = loadedAtStart(entries);
  const statement = /^(?:import|export)(?! type) (?:[^;'"=]*? from )?'([^.'][^']*)'|import\('([^.'][^']*)'\)/gm;
  const packages = [...loaded].flatMap((file) =>
    [...text(file).matchAll(statement)]
      .map(([, name, lazy]) => (name ?? lazy ?? '').match(/^(@[^/]+\/)?[^/:]+/)?.[0] ?? '')
      // The AWS clients are for a bucket; what `npm start` follows is a folder.
      .filter((name) => !name.startsWith('@aws-sdk/') && name !== 'node' && name !== 'cloudflare'),
  );
  expect([...new Set(packages)].sort()).toEqual(Object.keys(dependencies).sort());
});

it('the Worker builds the schemas of a route or a door with the first request for it, and not at its start', () => {
  const reached = loadedAtStart(['api/worker/index.ts']);
  expect(reached.size).toBeGreaterThan(50);
  const late =
    /^contracts\/src\/(api\/(doors\/|tasks\/(?!upload)|operations|similarity|models)|bulk\/lines|training\/)/;
  expect([...reached].filter((file) => late.test(file))).toEqual([]);
});

it('nothing committed names a folder of the machine that it was written on', () => {
  const written = FILES.filter(
    (file) => /\.(ts|js|py|md|json|toml|yaml|html|css)$|Dockerfile$/.test(file) && isWritten(file),
  );
  const named = written.filter((file) => /(?:^|[="'`( ])\/(?:Users|root|home\/\w+|work)\/\w/m.test(text(file)));
  expect(named).toEqual([]);
});

/** The files that these import before anything runs, and themselves. */
function loadedAtStart(entries: string[]): Set<string> {
  const atStart = importsOf(TREE, { lazy: false, types: false });
  const loaded = new Set<string>();
  const load = (file: string): void => {
    if (loaded.has(file)) return;
    loaded.add(file);
    for (const target of atStart.get(file) ?? []) load(target);
  };
  for (const entry of entries) load(entry);
  return loaded;
}

function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*/gm, '');
}

function isFolder(path: string): boolean {
  return FILES.some((file) => file.startsWith(`${path}/`));
}
