// The results as a table for the terminal, and as docs/clients.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { LIMITS } from '../../contracts/src/api/limits.ts';
import { FILES } from '../../contracts/src/keys.ts';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { CASE_NAMES, CASES, type CaseName } from './cases.ts';
import { type Client, nameOf } from './client.ts';

export interface Result {
  client: Client;
  version: string;
  /** `passed`, or what is wrong; cases that the client cannot do are absent. */
  cases: Partial<Record<CaseName, string>>;
}

const DOCS = join(import.meta.dirname, '../../docs/clients.md');

export function totalOf(results: readonly Result[]): { passed: number; failed: number } {
  const all = results.flatMap(({ cases }) => Object.values(cases));
  const passed = all.filter((outcome) => outcome === 'passed').length;
  return { passed, failed: all.length - passed };
}

function markOf({ cases }: Result, name: CaseName): string {
  const outcome = cases[name];
  if (outcome === undefined) return '–';
  return outcome === 'passed' ? '✓' : '✗';
}

export function tableOf(results: readonly Result[]): string {
  const names = results.map(({ client, version }) => `${client.language} ${nameOf(client)} ${version}`);
  const width = Math.max(...names.map((name) => name.length));
  const head = `${' '.repeat(width)}  ${CASE_NAMES.join('  ')}`;
  const rows = results.map((result, index) => {
    const marks = CASE_NAMES.map((name) => markOf(result, name).padEnd(name.length));
    return `${(names[index] ?? '').padEnd(width)}  ${marks.join('  ')}`;
  });
  const problems = results.flatMap(({ client, cases }) =>
    Object.entries(cases).flatMap(([name, outcome]) =>
      outcome === 'passed'
        ? []
        : [`✗ ${client.language} ${nameOf(client)}, ${name}: ${outcome.replace(/\s+/g, ' ').slice(0, 400)}`],
    ),
  );
  const { passed, failed } = totalOf(results);
  const total = `${results.length} clients, ${passed + failed} cases: ${passed} passed, ${failed} failed; – is what a client cannot do`;
  return [head, ...rows, '', ...problems, total].join('\n');
}

/** The path that was written. */
export function writeDocs(results: readonly Result[]): string {
  writeFileSync(DOCS, docsOf(results));
  return DOCS;
}

function docsOf(results: readonly Result[]): string {
  const { passed } = totalOf(results);
  const head = ['client', 'version', ...CASE_NAMES];
  const rows = results.map((result) => [
    `[${nameOf(result.client)}](#${anchorOf(result.client)})`,
    result.version,
    ...CASE_NAMES.map((name) => markOf(result, name)),
  ]);
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return `# Clients

<!-- Written by \`npm run conformance -- --write-docs\`. Change test/clients and run that. -->

Libraries that people have already, pointed at this service as their own documentation says. The lines below are what was run; start the
service with \`npm start\`, or put the address of a deployment in the place of \`http://127.0.0.1:8787\` and a key of yours in the place of
\`YOUR-KEY\`.

\`npm run conformance\` tries all of them: ${results.length} clients, ${passed} cases passed. ✓ passed, ✗ failed, – the client cannot do it (its
section says why).

${sizeOfRequests()}

${line(head)}
${line(head.map(() => '---'))}
${rows.map(line).join('\n')}

${CASE_NAMES.map((name) => `- **${name}**: ${CASES[name]}`).join('\n')}
${results.map(sectionOf).join('')}`;
}

/** What libraries that cut long lists themselves are to be told. */
export function sizeOfRequests(): string {
  const { student, tiny, static: fast } = LIMITS.tokens;
  const { text } = JSON.parse(readFileSync(join(EMBEDDED_MODEL, FILES.manifest), 'utf8')) as ModelManifest;
  const [most, ofTiny, ofStatic] = [student, tiny, fast].map((count) => count.toLocaleString('en'));
  return `A request may hold ${most} tokens (\`tiny\`: ${ofTiny}, \`static\`: ${ofStatic}; \`/v1/limits\` says it of a deployment), of each text at most ${text.context_length}:
${Math.floor(student / text.context_length)} texts always fit, and more of them, where they are long, are refused with \`too_many_tokens\`. Libraries that cut long lists themselves may send
more; their sections say what to set.`;
}

function headingOf(client: Client): string {
  return `${nameOf(client)} for ${client.language === 'node' ? 'Node' : 'Python'}`;
}

/** As GitHub makes anchors of headings. */
function anchorOf(client: Client): string {
  return headingOf(client)
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

function sectionOf({ client, version }: Result): string {
  const { lines, vector, cannot, notes = [], speaks, language } = client;
  const remarks = [...notes, ...Object.entries(cannot).map(([name, reason]) => `No ${name}: ${reason}.`)];
  return `
## ${headingOf(client)}

Version ${version}, speaks as ${speaks} does. The vector is \`${vector}\`.

\`\`\`${language === 'node' ? 'js' : 'python'}
${lines.join('\n')}
\`\`\`
${remarks.length > 0 ? `\n${remarks.map((remark) => `- ${remark}`).join('\n')}\n` : ''}`;
}
