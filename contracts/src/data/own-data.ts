// How files of a person's data end, without the dot, by the format that an ending says; in either case, the longest that fits.
export const FORMAT_ENDINGS = {
  csv: ['csv', 'tsv', 'txt'],
  jsonl: ['jsonl', 'jsonl.gz', 'ndjson'],
  parquet: ['parquet', 'pq'],
  json: ['json'],
  tar: ['tar', 'tar.gz', 'tgz'],
} as const;

export type DataFormat = keyof typeof FORMAT_ENDINGS;

const FORMATS = Object.keys(FORMAT_ENDINGS) as DataFormat[];

/** What the ending of a file says; undefined for one that is none of them. */
export const formatOf = (file: string): DataFormat | undefined => FORMATS.find((format) => endingOf(file, format));

/** A path without the ending of its format. */
export function withoutFormat(file: string): string {
  const endings = FORMATS.flatMap((format) => endingOf(file, format) ?? []);
  return file.slice(0, file.length - Math.max(0, ...endings.map((ending) => ending.length)));
}

function endingOf(file: string, format: DataFormat): string | undefined {
  return FORMAT_ENDINGS[format].map((ending) => `.${ending}`).findLast((ending) => file.toLowerCase().endsWith(ending));
}
