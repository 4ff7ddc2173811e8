// The names of a person's data: endings of files, by the format that each says, and columns of images in tables.

/** Without the dot; in either case, the longest that fits. */
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

/** Names that people give the column of images, the likeliest first; compared without case, spaces, hyphens and underscores. */
export const IMAGE_COLUMNS = [
  'image',
  'image_path',
  'image_file',
  'image_name',
  'file_name',
  'file',
  'file_path',
  'path',
  'img',
  'img_path',
  'photo',
  'picture',
  'photo_file',
  'picture_file',
  'image_url',
  'url',
] as const;

/** The column of images among those of a table, of which none may look like one. */
export function imageColumnOf(columns: readonly string[]): string | undefined {
  const found = IMAGE_COLUMNS.map((usual) => columns.find((column) => plain(column) === plain(usual)));
  return found.find((column) => column !== undefined);
}

/** The twin of `plain` in trainer/towers/formats/item.py, which no name above has a mark for. */
const plain = (name: string): string =>
  name
    .trim()
    .toLowerCase()
    .normalize()
    .replace(/[^\p{L}\p{N}\p{M}]/gu, '');
