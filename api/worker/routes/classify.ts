// POST /classify: items and labels in, the labels of each item with their probabilities out.
import {
  type Classification,
  ClassifyRequest,
  type ClassifyResponse,
} from '../../../contracts/src/api/tasks/classify.ts';
import { type Classified, classify } from '../../core/classify.ts';
import { toItem } from '../../core/items/content.ts';
import { parseRequest } from '../../core/validation.ts';
import type { Call } from '../dependencies.ts';
import { readJson } from '../http/body.ts';
import type { Reply } from '../http/reply.ts';
import { withModel } from '../with-model.ts';

const DEFAULT_PRIOR = 0.5;

export async function classifyRoute(call: Call): Promise<Reply> {
  const { input, none_of_these, top_k, ...options } = parseRequest(ClassifyRequest, await readJson(call.request));
  const asked = { ...options, input: [input].flat().map(toItem), nonePrior: priorOf(none_of_these) };
  const output = await withModel(call, (model, engines) => classify(model, engines, asked));
  const { model, space_id, usage } = output;
  const data = output.classified.map((item, index) => render(item, { index, top: top_k }));
  return { json: { object: 'list', model, space_id, data, usage } satisfies ClassifyResponse };
}

function priorOf(asked: ClassifyRequest['none_of_these']): number | undefined {
  if (typeof asked === 'object') return asked.prior;
  return asked ? DEFAULT_PRIOR : undefined;
}

function render(
  { labels, none, modality, truncation }: Classified,
  { index, top }: { index: number; top: number | undefined },
): Classification {
  const [best] = labels;
  const isNone = none !== undefined && none > (best?.score ?? 0);
  return {
    object: 'classification',
    index,
    modality,
    prediction: isNone ? null : (best?.label ?? null),
    score: isNone ? none : (best?.score ?? 0),
    predictions: labels.slice(0, top),
    ...(none === undefined ? {} : { none_of_these: none }),
    ...(truncation ? { truncation } : {}),
  };
}
