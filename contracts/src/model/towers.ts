// Answers questions about a manifest's text models: their transformers and tables, what is packed of them, the files that each engine reads.
import { type Artefact, artefactsIn } from './artefact.ts';
import type { ModelManifest, QuantizedTable, TextTower } from './manifest.ts';
import type { Tier } from './tier.ts';

/** The transformers of a model by their tier. */
export function textTowers({ text, tiny }: Pick<ModelManifest, 'text' | 'tiny'>): { [T in Tier]?: TextTower } {
  return { student: text, ...(tiny ? { tiny } : {}) };
}

/** Tables with a row for each entry of the vocabulary, of which a text has few. */
export function rowTables({
  text,
  tiny,
  static: fast,
}: Pick<ModelManifest, 'text' | 'tiny' | 'static'>): QuantizedTable[] {
  return [text.table, tiny?.table, fast?.table].filter((table) => table !== undefined);
}

/** What is found out of a model's transformers when they are packed. */
export type PackedTowers = { [T in Tier]?: Pick<TextTower, 'engine' | 'packed'> };

/** What a deployment makes of a model's files once, so that no isolate has to. */
export interface PackedModel extends PackedTowers {
  /** Where entries of the vocabulary begin and how, in the form of the tokenizer; absent: each isolate finds out. */
  index?: Artefact;
}

/** The same manifest, which says so of its transformers. */
export function withPacked(manifest: ModelManifest, { student, tiny }: PackedTowers): ModelManifest {
  return {
    ...manifest,
    text: { ...manifest.text, ...student },
    ...(manifest.tiny ? { tiny: { ...manifest.tiny, ...tiny } } : {}),
  };
}

/** Every file that texts need, of all tiers and engines. */
export function textArtefacts({ text, tiny, static: fast }: ModelManifest): Artefact[] {
  return artefactsIn([text, tiny, fast]);
}

/** Those of them that the Worker's own engine reads: where weights are packed, neither the graph nor its own weights. */
export function ownArtefacts({ text, tiny, static: fast }: ModelManifest): Artefact[] {
  return artefactsIn([withoutGraph(text), tiny && withoutGraph(tiny), fast]);
}

function withoutGraph(tower: TextTower): object {
  if (!tower.packed) return tower;
  const { graph: _, partition: __, ...rest } = tower;
  return rest;
}
