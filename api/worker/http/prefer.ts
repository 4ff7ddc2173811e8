// Reads how a caller wants to be answered: the header `Prefer` (RFC 7240) with `respond-async`, `wait` and our own `encoder`.
import type { Preference } from '../../core/encode/routing.ts';

const ENCODERS = { cpu: 'lambda_cpu', gpu: 'lambda_gpu' } as const;
type Encoder = keyof typeof ENCODERS;
/** Longer than any deadline here. */
const MOST_SECONDS = 3600;

/** What is not understood is ignored, as the RFC wants it. Of two preferences of one name the first counts. */
export function readPrefer(headers: Headers): Preference {
  const header = headers.get('prefer');
  if (header === null) return {};
  const said = new Map<string, string>();
  for (const preference of header.split(',')) {
    const [name = '', value = ''] = (preference.split(';')[0] ?? '').split('=').map((part) => part.trim());
    const key = name.toLowerCase();
    if (!said.has(key)) said.set(key, value.replace(/^"(.*)"$/, '$1'));
  }
  const encoder = said.get('encoder')?.toLowerCase();
  const wait = said.get('wait') ?? '';
  // 0 seconds are as few as can be waited.
  const seconds = /^\d{1,9}$/.test(wait) ? Math.min(MOST_SECONDS, Math.max(1, Number(wait))) : undefined;
  // Together they say how long a caller waits for the answer itself (section 4.3).
  const job = seconds === undefined ? 'asked' : 'if_late';
  return {
    job: said.has('respond-async') ? job : undefined,
    encoder: isEncoder(encoder) ? ENCODERS[encoder] : undefined,
    seconds,
  };
}

/** Value of `Preference-Applied`; undefined: nothing that was preferred became so. */
export function appliedPreference({ job, encoder, seconds }: Preference, route: string): string | undefined {
  const applied = [
    ...(route === 'batch' && job !== undefined ? ['respond-async'] : []),
    ...(seconds === undefined || route === 'batch' ? [] : [`wait=${seconds}`]),
    ...(encoder === route ? [`encoder=${encoder === 'lambda_gpu' ? 'gpu' : 'cpu'}`] : []),
  ];
  return applied.length > 0 ? applied.join(', ') : undefined;
}

function isEncoder(text: string | undefined): text is Encoder {
  return text !== undefined && Object.hasOwn(ENCODERS, text);
}
