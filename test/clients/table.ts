// The clients that are tried, one row each; docs/clients.md is written from it.
import type { Client } from './client.ts';
import { NODE_CLIENTS } from './node-clients.ts';
import { PYTHON_CLIENTS } from './python-clients.ts';

export const CLIENTS: readonly Client[] = [...NODE_CLIENTS, ...PYTHON_CLIENTS];
