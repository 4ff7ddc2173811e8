// The ratios of a result: what stays the same from one machine to the next, better than milliseconds do.
import type { EngineFigures, Result } from '../measure.ts';

export interface Ratio {
  name: string;
  value: number;
  better: 'lower' | 'higher';
  /** What is aimed at: at most this much where lower is better, at least where higher is. */
  target?: number;
}

/** What ratios are made of; a short run has no more of a result than this. */
export type Measured = Pick<Result, 'engines' | 'texts' | 'static_tier' | 'connections' | 'requests' | 'wasm_mib'> & {
  web_first_request_cpu_ms?: number | undefined;
  first_request_cpu_ms: number;
};

/** Our engine to onnxruntime-node, which multiplies by instructions that WebAssembly does not have. */
const TO_NODE = 1.3;
/** The same from 256 tokens on, where attention is a good part of the work. */
const TO_NODE_LONG = 1.6;
const LONG = 256;
const TO_WEB = 0.45;
/** Of the machine's products of bytes, at this length. */
const SHARE_OF_PEAK = 0.75;
const PEAK_TOKENS = 77;
/** Many short texts in one request against a request for each. */
const TOGETHER = 1.6;
const MANY = 32;
const REQUESTS = 3;

/** Each by a name that it has in every run. */
export function ratiosOf(measured: Measured): Ratio[] {
  return [
    ...measured.engines.flatMap(ofEngines),
    ...togetherInEngine(measured.engines),
    ...togetherInRequest(measured.texts),
    ...measured.texts.flatMap(({ rows, tokens, cpu_ratio, web_cpu_ratio }) => [
      lower(
        `request of ${rows} x ${tokens} tokens to onnxruntime-node`,
        cpu_ratio,
        rows === 1 ? toNode(tokens) : undefined,
      ),
      ...(web_cpu_ratio === undefined
        ? []
        : [lower(`request of ${rows} x ${tokens} tokens to onnxruntime-web`, web_cpu_ratio, TO_WEB)]),
    ]),
    ...measured.connections.map(({ connections, own_per_cpu_second, web_per_cpu_second }) => ({
      name: `requests of a word on ${connections} connections to onnxruntime-web`,
      value: own_per_cpu_second / web_per_cpu_second,
      better: 'higher' as const,
      target: REQUESTS,
    })),
    ...ofStaticTier(measured),
    lower('cache hit to miss', measured.requests.hit_us / measured.requests.student_us),
    lower('request of 8 tokens to an empty one', measured.requests.student_us / measured.requests.empty_us),
    lower('request to the static tier to an empty one', measured.requests.static_us / measured.requests.empty_us),
    ...toWeb('WebAssembly memory', measured.wasm_mib.at_the_end, measured.wasm_mib.web_at_the_end),
    ...toWeb('first request', measured.first_request_cpu_ms, measured.web_first_request_cpu_ms),
  ];
}

const toNode = (tokens: number) => (tokens >= LONG ? TO_NODE_LONG : TO_NODE);

function lower(name: string, value: number, target?: number): Ratio {
  return { name, value, better: 'lower', ...(target === undefined ? {} : { target }) };
}

function toWeb(name: string, own: number, web: number | undefined): Ratio[] {
  return web === undefined ? [] : [lower(`${name} to onnxruntime-web`, own / web)];
}

function ofEngines({ texts, tokens, cpu_ms, share_of_peak }: EngineFigures): Ratio[] {
  const { node, web, 'own relaxed': own, 'own plain': plain } = cpu_ms;
  if (node === undefined || web === undefined || own === undefined || plain === undefined) return [];
  const what = `engine, ${texts} x ${tokens} tokens`;
  return [
    lower(`${what} to onnxruntime-node`, own / node, toNode(tokens)),
    lower(`${what} to onnxruntime-web`, own / web, TO_WEB),
    lower(`${what}, plain to relaxed`, plain / own),
    {
      name: `${what}, share of the peak of relaxed SIMD`,
      value: share_of_peak,
      better: 'higher',
      ...(texts === 1 && tokens === PEAK_TOKENS ? { target: SHARE_OF_PEAK } : {}),
    },
  ];
}

/** Several texts in one call against as many calls. */
function togetherInEngine(engines: EngineFigures[]): Ratio[] {
  return engines.flatMap(({ texts, tokens, cpu_ms }) => {
    const single = engines.find((each) => each.texts === 1 && each.tokens === tokens);
    const [one, all] = [single?.cpu_ms['own relaxed'], cpu_ms['own relaxed']];
    if (texts === 1 || one === undefined || all === undefined) return [];
    const name = `engine, ${texts} texts of ${tokens} tokens one at a time to all at once`;
    return [{ name, value: (texts * one) / all, better: 'higher' as const }];
  });
}

/** The same by what a client waits. */
function togetherInRequest(figures: Measured['texts']): Ratio[] {
  return figures.flatMap(({ rows, tokens, workerd_ms }) => {
    const one = figures.find((each) => each.rows === 1 && each.tokens === tokens);
    if (rows === 1 || one === undefined) return [];
    const name = `${rows} texts of ${tokens} tokens, a request each to one request`;
    return [
      {
        name,
        value: (rows * one.workerd_ms) / workerd_ms,
        better: 'higher' as const,
        ...(rows >= MANY ? { target: TOGETHER } : {}),
      },
    ];
  });
}

/** Beside what onnxruntime-node takes for a text of eight tokens: the same machine at the same time. */
function ofStaticTier({ static_tier, texts }: Measured): Ratio[] {
  const yardstick = texts.find(({ rows, tokens }) => rows === 1 && tokens === 8)?.node_cpu_ms;
  if (yardstick === undefined) return [];
  return static_tier.map(({ tokens, cpu_us_per_text }) =>
    lower(`static tier, ${tokens} tokens to onnxruntime-node with 8`, cpu_us_per_text / 1000 / yardstick),
  );
}
