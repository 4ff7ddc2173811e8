// The columns of a table that a person names: the options of every command that reads tables of images, and their help.
import type { OwnData } from '../../../../contracts/src/training/stages/adapt.ts';

export type TableColumns = Pick<OwnData, 'image_column' | 'caption_columns' | 'class_column'>;

export const COLUMN_OPTIONS = {
  'image-column': { type: 'string' },
  'caption-column': { type: 'string' },
  'class-column': { type: 'string' },
} as const;

export type ColumnValues = Partial<Record<keyof typeof COLUMN_OPTIONS, string | undefined>>;

const HELP: Record<keyof typeof COLUMN_OPTIONS, string> = {
  'image-column': 'of a table (default: guessed among the usual names; the command says which)',
  'caption-column': 'of captions, titles or descriptions; several with commas between them',
  'class-column': 'of classes',
};

/** A line for each option; `width`: where what it is for begins. `before`: the commands that take them, where others do not. */
export const columnHelp = (width: number, before = ''): string =>
  Object.entries(HELP)
    .map(([option, text]) => `${`  --${option} NAME `.padEnd(width)}${before}${text}`)
    .join('\n');

/** As recipes and the trainer's documents have them; null: guessed. */
export const columnsOf = (values: ColumnValues): TableColumns => ({
  image_column: values['image-column'] ?? null,
  caption_columns: values['caption-column']?.split(',').map((column) => column.trim()) ?? null,
  class_column: values['class-column'] ?? null,
});

/** The same as options of a command of the trainer. */
export const columnFlags = (values: ColumnValues): string[] =>
  Object.keys(COLUMN_OPTIONS).flatMap((option) => {
    const value = values[option as keyof ColumnValues];
    return value === undefined ? [] : [`--${option}=${value}`];
  });
