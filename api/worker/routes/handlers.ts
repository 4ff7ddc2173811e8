// The handlers of our own operations, by operation id.
import type { OwnOperationId } from '../../../contracts/src/api/operations.ts';
import type { Handler } from '../dependencies.ts';
import { classifyRoute } from './classify.ts';
import { embedRoute } from './embed.ts';
import { liveRoute, readyRoute } from './health.ts';
import { limitsRoute } from './limits.ts';
import { metricsRoute } from './metrics.ts';
import { modelsRoute } from './models.ts';
import { describeRoute, pageRoute } from './page.ts';
import { similarityRoute } from './similarity.ts';
import { tokenizeRoute } from './tokenize.ts';
import { uploadRoute } from './uploads.ts';

export const OWN_HANDLERS: Record<OwnOperationId, Handler> = {
  page: pageRoute,
  embed: embedRoute,
  similarity: similarityRoute,
  classify: classifyRoute,
  tokenize: tokenizeRoute,
  upload: uploadRoute,
  listModels: modelsRoute,
  limits: limitsRoute,
  isLive: liveRoute,
  isReady: readyRoute,
  metrics: metricsRoute,
  describe: describeRoute,
};
