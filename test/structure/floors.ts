// The floors of the house: every box of sources and the boxes below it that it may import from, types included.
import { dirname } from 'node:path';

const API_HOST = ['contracts/src', 'contracts/command', 'api/registry', 'api/registry/stores'];
const HANDLER = [
  'contracts/src',
  'api/core',
  'api/worker/http',
  'api/worker/dependencies.ts',
  'api/worker/with-model.ts',
];
const CONTROL = ['contracts/src', 'api/registry', 'api/registry/stores'];
const INFRA = ['contracts/src', 'infra/base'];

/** From the ground up. A box is a folder with what is in it, or a file; the longest name that fits a file is its box. */
export const BOXES: Record<string, readonly string[]> = {
  // ---- documents
  'contracts/src': [],
  'contracts/python': [],
  'contracts/command': ['contracts/src'],
  'contracts/tools': ['contracts/src', 'contracts/command'],
  // ---- what the API is made of
  'api/registry': ['contracts/src'],
  'api/registry/stores': ['contracts/src', 'api/registry'],
  'api/text/engine.ts': ['contracts/src'],
  'api/core': ['contracts/src', 'api/text/engine.ts'],
  'api/text': ['contracts/src', 'api/registry', 'api/text/engine.ts', 'api/core'],
  'api/text/onnx': ['contracts/src', 'api/text/engine.ts', 'api/core', 'api/text'],
  'api/text/engines.ts': ['api/text/engine.ts', 'api/text/onnx'],
  // ---- its hosts
  'api/worker/isolate': [],
  'api/worker/images': ['contracts/src', 'api/registry', 'api/core', 'api/worker/isolate'],
  'api/worker/cache': ['contracts/src', 'api/core', 'api/worker/isolate'],
  'api/worker/http': ['contracts/src', 'api/core'],
  'api/worker/access': ['contracts/src', 'api/core'],
  'api/worker/middleware': ['contracts/src', 'api/core', 'api/worker/access', 'api/worker/isolate'],
  'api/worker/model-provider.ts': [
    'contracts/src',
    'api/registry',
    'api/text/engine.ts',
    'api/core',
    'api/text',
    'api/worker/isolate',
  ],
  'api/worker/dependencies.ts': [
    'contracts/src',
    'api/core',
    'api/worker/http',
    'api/worker/middleware',
    'api/worker/model-provider.ts',
  ],
  'api/worker/observe': ['contracts/src', 'api/worker/dependencies.ts'],
  'api/worker/with-model.ts': ['contracts/src', 'api/core', 'api/worker/http', 'api/worker/dependencies.ts'],
  'api/worker/doors': HANDLER,
  'api/worker/routes': [...HANDLER, 'api/worker/doors'],
  'api/worker': [
    'api/worker/access',
    'contracts/src',
    'api/registry',
    'api/registry/stores',
    'api/text/engine.ts',
    'api/core',
    'api/text',
    'api/text/engines.ts',
    'api/worker/cache',
    'api/worker/isolate',
    'api/worker/images',
    'api/worker/http',
    'api/worker/middleware',
    'api/worker/model-provider.ts',
    'api/worker/dependencies.ts',
    'api/worker/observe',
    'api/worker/routes',
    'api/worker/doors',
  ],
  'api/encoder/pixels': ['contracts/src', 'api/core'],
  'api/encoder': ['contracts/src', 'api/registry', 'api/registry/stores', 'api/core', 'api/encoder/pixels'],
  'api/encoder/hosts': [...API_HOST, 'api/core', 'api/encoder'],
  'api/keys': API_HOST,
  'api/dev': [...API_HOST, 'api/keys'],
  'api/playground': [],
  // ---- the control plane
  'trainer/control/recipe': CONTROL,
  'trainer/control/plan': [...CONTROL, 'contracts/command', 'trainer/control/recipe'],
  'trainer/control/run': [...CONTROL, 'trainer/control/plan'],
  'trainer/control/local': [...CONTROL, 'trainer/control/recipe', 'trainer/control/plan', 'trainer/control/run'],
  'trainer/control/aws': [...CONTROL, 'trainer/control/recipe', 'trainer/control/plan', 'trainer/control/run'],
  'trainer/control/lambda': [...CONTROL, 'trainer/control/plan', 'trainer/control/run'],
  'trainer/control/cli': [
    ...CONTROL,
    'contracts/command',
    'trainer/control/recipe',
    'trainer/control/plan',
    'trainer/control/run',
    'trainer/control/local',
    'trainer/control/aws',
  ],
  // ---- training
  'trainer/engine': ['contracts/python'],
  'trainer/data/manifest.py': ['contracts/python', 'trainer/engine'],
  'trainer/data/copies.py': ['contracts/python', 'trainer/data/manifest.py'],
  'trainer/data/features.py': [
    'contracts/python',
    'trainer/engine',
    'trainer/data/manifest.py',
    'trainer/data/copies.py',
  ],
  'trainer/losses': ['trainer/engine'],
  'trainer/towers': ['contracts/python', 'trainer/engine', 'trainer/data/manifest.py', 'trainer/data/features.py'],
  'trainer/data': [
    'contracts/python',
    'trainer/engine',
    'trainer/data/manifest.py',
    'trainer/data/copies.py',
    'trainer/data/features.py',
    'trainer/towers',
  ],
  'trainer/tasks': [
    'contracts/python',
    'trainer/engine',
    'trainer/losses',
    'trainer/data/manifest.py',
    'trainer/data/copies.py',
    'trainer/data/features.py',
    'trainer/towers',
    'trainer/data',
  ],
  'trainer/evaluation': ['contracts/python', 'trainer/engine', 'trainer/towers'],
  'trainer/stages': [
    'contracts/python',
    'trainer/data/manifest.py',
    'trainer/data/features.py',
    'trainer/engine',
    'trainer/towers',
    'trainer/data',
    'trainer/tasks',
    'trainer/evaluation',
  ],
  'trainer/bench': ['contracts/python', 'trainer/losses', 'trainer/towers'],
  'trainer/augment': ['contracts/python', 'trainer/engine', 'trainer/towers'],
  'trainer/gpu_check': ['contracts/python', 'trainer/engine', 'trainer/towers', 'trainer/tasks', 'trainer/bench'],
  'trainer/edge_clip': ['contracts/python', 'trainer/engine', 'trainer/towers'],
  'trainer/exchange': ['contracts/python', 'trainer/engine', 'trainer/towers'],
  'trainer/bench/train': [
    'contracts/python',
    'trainer/engine',
    'trainer/towers',
    'trainer/data',
    'trainer/data/manifest.py',
    'trainer/tasks',
    'trainer/bench',
    'trainer/gpu_check',
  ],
  'trainer/container': ['contracts/python'],
  // ---- the cloud
  'infra/base': ['contracts/src'],
  'infra/rules': INFRA,
  'infra/network': INFRA,
  'infra/storage': INFRA,
  'infra/serving': [...INFRA, 'infra/storage'],
  'infra/training': [...INFRA, 'infra/network', 'infra/storage'],
  infra: [...INFRA, 'infra/rules', 'infra/network', 'infra/storage', 'infra/serving', 'infra/training'],
};

/** Of a file that is in no box: its folder, which may import from nothing. */
export function boxOf(file: string): string {
  for (let path = file; path !== '.'; path = dirname(path)) if (Object.hasOwn(BOXES, path)) return path;
  return dirname(file);
}
