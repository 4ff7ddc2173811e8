// `npm run load`: puts the vectors of a bulk job into a vector database, or into a file that one reads.
import { type CommandLine, runCommand } from '../../../contracts/command/command-line.ts';
import { usersFolder } from '../../../contracts/command/users-folder.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { createNames } from '../databases/names.ts';
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
load that stopped is run again. Two vectors of one job with the same name are told at the end: the later one replaced the
other, or in faiss is beside it. A table that holds vectors of another space, type or length is refused.
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
  const isNew = createNames(vectors.count);
  let [written, again] = [0, 0];
  const loader = await database.open(target, vectors.kind);
  try {
    for await (const batch of vectors.batches()) {
      if (isStopped) {
        console.error(`Stopped after ${written} of ${vectors.count}; the same command loads them all.`);
        return EXIT.interrupted;
      }
      await loader.write(batch);
      written += batch.length;
      for (const { custom_id } of batch) again += isNew(custom_id) ? 0 : 1;
      const seconds = (((performance.now() - start) / 1000) * (vectors.count - written)) / Math.max(written, 1);
      if (!values.json)
        tell(`${written} of ${vectors.count} vectors, ${timeOf(seconds)} left`, written >= vectors.count);
    }
    await loader.finish();
  } finally {
    await loader.close();
  }
  const { kind, model } = vectors;
  const query = database.query(target, kind);
  const doubled = database.keepsAll ? again : 0;
  const loaded = written - again + doubled;
  const repeated = vectors.count - loaded;
  if (values.json) console.log(JSON.stringify({ loaded, repeated, doubled, table, ...kind, query }));
  else {
    const note = noteOf({ repeated, doubled });
    console.log(
      `\n${loaded} vectors of ${model.id} ${model.version}${note}, ${kind.dimensions} numbers as ${kind.type}`,
    );
    console.log(`Nearest to a vector: ${query}`);
  }
  return EXIT.ok;
}

/** Of vectors with the name of another, which are one item to whoever searches. */
function noteOf({ repeated, doubled }: { repeated: number; doubled: number }): string {
  const notes: string[] = [];
  if (repeated > 0) notes.push(`${repeated} more had the name of a later one, which replaced them`);
  if (doubled > 0) notes.push(`${doubled} of them have the name of an earlier one, which is there, too`);
  return notes.length === 0 ? '' : ` (${notes.join('; ')}: give each item a custom_id of its own)`;
}

process.chdir(usersFolder());
await runCommand({ help: HELP, options: OPTIONS, words: 2 }, main);
