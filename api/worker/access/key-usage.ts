// The Durable Object that counts for one key: everywhere in the world the same one, so that its numbers are exact.
import { DurableObject } from 'cloudflare:workers';
import { type Minute, type Month, reserve, type Standing, settle, type Terms } from './counting.ts';

const NONE: Minute & Month = { started: 0, requests: 0, month: '', tokens: 0, images: 0 };

/** The platform drops it from memory ten seconds after its last request, in the middle of a window: both counts are in its database. */
export class KeyUsage extends DurableObject {
  #counts: Minute & Month;

  constructor(state: DurableObjectState, env: Cloudflare.Env) {
    super(state, env);
    const { sql } = state.storage;
    sql.exec(
      'CREATE TABLE IF NOT EXISTS counts (id INTEGER PRIMARY KEY CHECK (id = 0), started INTEGER NOT NULL, ' +
        'requests INTEGER NOT NULL, month TEXT NOT NULL, tokens INTEGER NOT NULL, images INTEGER NOT NULL)',
    );
    const [row] = sql.exec('SELECT started, requests, month, tokens, images FROM counts').toArray();
    this.#counts = (row as (Minute & Month) | undefined) ?? NONE;
  }

  /** Counts one request, unless it is one too many. */
  reserve(terms: Terms): Standing {
    const { minute, standing } = reserve({ minute: this.#counts, month: this.#counts }, terms, Date.now());
    if (standing.isAllowed) this.#keep(minute);
    return standing;
  }

  /** What the request has used. */
  settle(used: { tokens: number; images: number }): void {
    this.#keep(settle(this.#counts, used, Date.now()));
  }

  #keep(changes: Partial<Minute & Month>): void {
    this.#counts = { ...this.#counts, ...changes };
    const { started, requests, month, tokens, images } = this.#counts;
    const row = [started, requests, month, tokens, images];
    this.ctx.storage.sql.exec('INSERT OR REPLACE INTO counts VALUES (0, ?, ?, ?, ?, ?)', ...row);
  }
}
