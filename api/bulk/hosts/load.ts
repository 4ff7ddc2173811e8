// `npm run load`: puts the vectors of a bulk job into a vector database, or into a file that one reads.
import { type CommandLine, runCommand } from '../../../contracts/command/command-line.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { refuseType, targetOf } from '../databases/table.ts';
import { readJobVectors } from '../databases/vectors.ts';
import { openFolder, qdrantKey } from './open.ts';
import { lineOfProgress, timeOf } from './progress.ts';

const HELP = `Usage: npm run load -- VECTORS PLACE [--table NAME] [--json]

VECTORS is what npm run encode wrote with --format jsonl, or the folder of a job: a path, s3:// or r2:// URI. PLACE is one of
  sqlite:FILE                     SQLite with sqlite-vec (float32, int8, binary)
  postgres://USER@HOST/DATABASE   PostgreSQL with pgvector (float32, binary)
  qdrant:http://HOST:6333         Qdrant (float32); its key in $QDRANT_API_KEY
  lancedb:FOLDER                  LanceDB (float32); its library is installed apart
  faiss:FILE                      an index for faiss.read_index, names in FILE.ids.jsonl (float32, binary)
  vectorize:FILE.ndjson           lines for wrangler vectorize upsert (float32)
Every vector keeps its name (custom_id), its modality and its space_id. Loading again replaces what has the same name, so a
load that stopped is run again. A table that holds vectors of another space, type or length is refused.
  --table NAME   table or collection (default vectors)
  --json         the end as one JSON object
  --help         this text
  --version      name and version

Exit codes: 0 done, 1 failed, 2 refused, 75 stopped.
`;
const OPTIONS = {
  table: { type: 'string', default: 'vectors' },
  json: { type: 'boolean' },
} as const;

async function main({ values, words: [from, to] }: CommandLine<typeof OPTIONS>): Promise<number> {
  if (from === undefined || to === undefined) throw new UserError(`VECTORS and PLACE are needed.\n\n${HELP}`);
  const target = targetOf(to, { table: values.table, key: qdrantKey() });
  const { database, table } = target;
  const vectors = await readJobVectors(openFolder(from));
  refuseType(target, vectors.kind);

  let isStopped = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => (isStopped = true));
  const tell = lineOfProgress();
  const start = performance.now();
  let loaded = 0;
  const loader = await database.open(target, vectors.kind);
  try {
    for await (const batch of vectors.batches()) {
      if (isStopped) {
        console.error(`Stopped after ${loaded} of ${vectors.count}; the same command loads them all.`);
        return EXIT.interrupted;
      }
      await loader.write(batch);
      loaded += batch.length;
      const seconds = (((performance.now() - start) / 1000) * (vectors.count - loaded)) / Math.max(loaded, 1);
      if (!values.json) tell(`${loaded} of ${vectors.count} vectors, ${timeOf(seconds)} left`, loaded >= vectors.count);
    }
    await loader.finish();
  } finally {
    await loader.close();
  }
  const { kind, model } = vectors;
  const query = database.query(target, kind);
  if (values.json) console.log(JSON.stringify({ loaded, repeated: vectors.count - loaded, table, ...kind, query }));
  else {
    const repeated = vectors.count - loaded;
    const note = repeated === 0 ? '' : ` (${repeated} had the name of a later one)`;
    console.log(
      `\n${loaded} vectors of ${model.id} ${model.version}${note}, ${kind.dimensions} numbers as ${kind.type}`,
    );
    console.log(`Nearest to a vector: ${query}`);
  }
  return EXIT.ok;
}

await runCommand({ help: HELP, options: OPTIONS, words: 2 }, main);
