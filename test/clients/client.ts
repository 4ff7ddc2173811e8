// A client as a test knows it: how it is started, what its user types, and what it cannot do.
import type { CaseName } from './cases.ts';

export interface Client {
  /** Name of the package whose version is shown. */
  package: string;
  /** Where one package has several clients: which one it is. */
  part?: string;
  language: 'node' | 'python';
  /** File in `LANGUAGE/families` and what it exports there. */
  family: string;
  adapter: string;
  /** Python environment, a file in `python/requirements`; default `main`. */
  environment?: string;
  /** Whose interface it speaks. */
  speaks: string;
  /** What its user types, run as it is: `npm start`'s address, the model's id and YOUR-KEY stand in their places. */
  lines: readonly string[];
  /** Expression whose value is the vector of the text in those lines. */
  vector: string;
  /** What is sent to bring an error about; default `model`: a model that does not exist. */
  mistake?: 'model' | 'text';
  /** Cases that it cannot do, each with the reason. */
  cannot: Partial<Record<CaseName, string>>;
  /** What its user should know. */
  notes?: readonly string[];
}

export function nameOf({ package: name, part }: Client): string {
  return part ? `${name} (${part})` : name;
}

/** Unique, and what --only takes. */
export function idOf(client: Client): string {
  return `${client.language}:${client.adapter}`;
}
