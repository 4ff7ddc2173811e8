// Holds one Node client: reads a case per line, does it, writes the answer.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [family, adapter] = process.argv.slice(2);

for await (const line of createInterface({ input: process.stdin })) {
  const task = JSON.parse(line);
  let answer;
  try {
    answer = { value: await perform(task) };
  } catch (error) {
    answer = { error: `${error?.message ?? error}` };
  }
  process.stdout.write(
    `@@${JSON.stringify(answer, (_, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value))}\n`,
  );
}
process.exit(0);

async function perform(task) {
  if (task.case === 'documented') return runLines(task);
  const adapters = await import(`./families/${family}.js`);
  const client = adapters[adapter](task);
  const operation = client[{ error: 'list', key: 'list', busy: 'list' }[task.case] ?? task.case];
  if (!operation) throw new Error(`${adapter} has no ${task.case}`);
  return operation(task);
}

/** As a module of its own beside the packages, so that its imports are found. */
async function runLines({ lines, vector }) {
  const folder = join(import.meta.dirname, 'node_modules/.documented');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${adapter}.mjs`);
  writeFileSync(file, `${lines.join('\n')}\nexport const __result = ${vector};\n`);
  return (await import(`${pathToFileURL(file)}?${Date.now()}`)).__result;
}
