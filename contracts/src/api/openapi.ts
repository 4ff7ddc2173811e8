// The HTTP interface as OpenAPI 3.1, assembled from the table of operations and the schemas that check requests.
import * as z from 'zod';
import { DOOR_ERRORS } from './doors/errors.ts';
import { ERROR_STATUS } from './error.ts';
import type { Door, Operation } from './operation.ts';
import { OPERATIONS } from './operations.ts';

const POST_ERRORS = [400, 404, 408, 413, 415, 422, 429, 500, 502, 503, 504];
const GET_ERRORS = [503];
/** Of what another service answers. */
const JOB_ERRORS = [400, 404, 422, 500, 503];
/** Of paths that name something. */
const NAME_ERRORS = [404];
/** Of files that may be had in ranges. */
const RANGE_ERRORS = [416];
/** Of operations that need a key. */
const KEY_ERRORS = [401, 403, 429];

/** The door that an operation belongs to, as clients' generators and pages group them. */
const TAGS: Record<Door, { name: string; description: string }> = {
  own: { name: 'edge-clip', description: 'Our own forms: receipts, spaces, calibrated scores.' },
  openai: { name: 'OpenAI', description: "OpenAI's forms, with Jina's and Voyage's bodies on the same path." },
  jina: { name: 'Jina', description: "Jina's forms." },
  voyage: { name: 'Voyage', description: "Voyage's forms." },
  cohere: { name: 'Cohere', description: "Cohere's forms." },
  tei: { name: 'TEI', description: "Forms of Text Embeddings Inference, Hugging Face's clients and Infinity." },
};

const SECURITY = {
  bearer: { type: 'http', scheme: 'bearer', description: 'A key of `npm run keys`, as `Authorization: Bearer …`.' },
  apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key', description: 'The same key in a header of its own.' },
};

/** The document that GET /openapi.json serves. */
export function openApi(version: string): object {
  const components: Components = new Map();
  const paths: Record<string, Record<string, object>> = {};
  for (const [id, operation] of Object.entries<Operation>(OPERATIONS)) {
    const method = operation.method.toLowerCase();
    paths[operation.path] = { ...paths[operation.path], [method]: describeOperation(id, operation, components) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'edge-clip',
      version,
      description: 'Embeddings of texts and images in one space, and how similar they are.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'The deployment that this document came from.' }],
    tags: Object.values(TAGS),
    paths,
    components: {
      securitySchemes: SECURITY,
      schemas: Object.fromEntries([...components].map(([name, component]) => [name, componentOf(component)])),
    },
  };
}

/** What a request may hold has null where it may be absent. */
interface Component {
  schema: z.ZodType;
  isRequest: boolean;
}
type Components = Map<string, Component>;

function describeOperation(id: string, operation: Operation, components: Components): object {
  const { method, path, aliases = [], summary, description, request, form, examples } = operation;
  const { door, scope, orScope, hasRanges = false } = operation;
  const statuses = new Set([
    ...(method === 'POST' ? POST_ERRORS : GET_ERRORS),
    ...(scope === 'jobs' ? JOB_ERRORS : []),
    ...(path.includes('{') ? NAME_ERRORS : []),
    ...(scope ? KEY_ERRORS : []),
    ...(hasRanges ? RANGE_ERRORS : []),
  ]);
  const also = aliases.length > 0 ? `The same as ${aliases.join(', ')}.` : '';
  const needs = scope ? `Needs a key with the scope \`${scope}\`${orScope ? ` or \`${orScope}\`` : ''}.` : '';
  const text = [description, also, needs].filter(Boolean).join(' ');
  const content = {
    ...(request
      ? {
          'application/json': {
            schema: place({ schema: request, isRequest: true }, components),
            ...(examples ? { examples } : {}),
          },
        }
      : {}),
    ...(form ? { 'multipart/form-data': { schema: form } } : {}),
  };
  const parameters = parametersOf(operation);
  return {
    operationId: id,
    tags: [TAGS[door].name],
    summary,
    ...(text ? { description: text } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(request || form ? { requestBody: { required: true, content } } : {}),
    security: scope ? Object.keys(SECURITY).map((name) => ({ [name]: [] })) : [],
    responses: {
      ...describeAnswers(operation, components),
      ...errorResponses([...statuses].sort(), errorSchema(operation, components)),
    },
  };
}

/** By status, those that are no errors. */
function describeAnswers(operation: Operation, components: Components): Record<string, object> {
  const { answer, answerType = 'application/json', response, hasTag = false, hasRanges = false, accepted } = operation;
  const content = { [answerType]: { schema: place({ schema: response, isRequest: false }, components) } };
  const tag = hasTag ? { headers: { ETag } } : {};
  return {
    '200': { description: answer, ...(hasRanges ? { headers: FILE_HEADERS } : tag), content },
    ...(accepted ? { '202': describeAccepted(accepted, components) } : {}),
    ...(hasRanges ? { '206': { ...RANGE, content } } : {}),
    ...(hasTag || hasRanges ? { '304': NOT_MODIFIED } : {}),
  };
}

function describeAccepted({ answer, response }: NonNullable<Operation['accepted']>, components: Components): object {
  return {
    description: answer,
    headers: { Location: { description: 'Where the job is followed.', schema: { type: 'string' } } },
    content: { 'application/json': { schema: place({ schema: response, isRequest: false }, components) } },
  };
}

const ETag = {
  description: 'Names the answer: the request, its options and the model. Absent where an item has an error.',
  schema: { type: 'string' },
};
const NOT_MODIFIED = {
  description: 'The answer is the one that `If-None-Match` names. There is no body; nothing was computed or charged.',
  headers: { ETag },
};

const text = (description: string): object => ({ description, schema: { type: 'string' } });
const FILE_HEADERS = {
  ETag: text('Names these bytes.'),
  'Accept-Ranges': text('`bytes`.'),
  'Content-Length': text('How many bytes there are.'),
};
const RANGE = {
  description: 'The bytes of the file that `Range` asks for.',
  headers: { ...FILE_HEADERS, 'Content-Range': text('Which bytes these are, of how many.') },
};

const header = (name: string, description: string): object => ({
  ...{ name, in: 'header', required: false, description },
  schema: { type: 'string' },
});
const CONDITION = header('If-None-Match', 'The `ETag` of an earlier answer, several of them, or `*`.');
const RANGE_CONDITIONS = [
  header('Range', 'Some bytes of the file, such as `bytes=1000-`, by which a download that was cut off goes on.'),
  header('If-Range', 'The `ETag` of what was had before: of another file all is sent.'),
];
const PREFER = header(
  'Prefer',
  '`respond-async`: a job instead of vectors; with `wait=10` one where they would not come within ten seconds. `wait=10` alone: an ' +
    'answer within ten seconds. `encoder=gpu`, `encoder=cpu`: who encodes images. `Preference-Applied` says what came of it.',
);
const IDEMPOTENCY_KEY = header(
  'Idempotency-Key',
  'Names what is begun: the same key with the same body brings the same answer, and with another body it is refused. 1 to 255 ' +
    'printable characters of ASCII.',
);

function parametersOf(operation: Operation): object[] {
  const { path, query = {}, hasTag, hasRanges, accepted, hasIdempotencyKey = accepted !== undefined } = operation;
  const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    description: `The ${name} itself.`,
    schema: { type: 'string' },
  }));
  const optional = Object.entries(query).map(([name, schema]) => {
    const { description, ...written } = componentOf({ schema, isRequest: false }) as { description?: string };
    return { name, in: 'query', required: false, description, schema: written };
  });
  const headers = [
    ...(hasTag || hasRanges ? [CONDITION] : []),
    ...(hasRanges ? RANGE_CONDITIONS : []),
    ...(accepted ? [PREFER] : []),
    ...(hasIdempotencyKey ? [IDEMPOTENCY_KEY] : []),
  ];
  return [...named, ...optional, ...headers];
}

/** A schema with a title is a component of that name, any other one is written where it is used. */
function place({ schema, isRequest }: Component, components: Components): object {
  const { title } = schema.meta() ?? {};
  if (title === undefined && schema instanceof z.ZodUnion) {
    return { anyOf: schema.options.map((option) => place({ schema: option as z.ZodType, isRequest }, components)) };
  }
  if (title === undefined) return componentOf({ schema, isRequest });
  const known = components.get(title);
  if (known && (known.schema !== schema || known.isRequest !== isRequest))
    throw new Error(`two documents of /openapi.json are called ${title}`);
  components.set(title, { schema, isRequest });
  return { $ref: `#/components/schemas/${title}` };
}

function errorSchema({ door, sharedWith = [] }: Operation, components: Components): object {
  const schemas = [...new Set([door, ...sharedWith].map((each) => DOOR_ERRORS[each]))];
  const placed = schemas.map((schema) => place({ schema, isRequest: false }, components));
  return placed.length === 1 && placed[0] ? placed[0] : { anyOf: placed };
}

/** Errors that end by themselves. */
const WAITS = [429, 503, 504];
const RETRY_AFTER = {
  description: 'Seconds until it is worth asking again; absent where that would not help.',
  schema: { type: 'integer' },
};

/** Responses for the statuses that the error table knows; every one has the body of its door. */
function errorResponses(statuses: number[], schema: object): Record<string, object> {
  return Object.fromEntries(
    statuses.map((status) => {
      const codes = Object.entries(ERROR_STATUS).flatMap(([code, of]) => (of === status ? [code] : []));
      const content = { 'application/problem+json': { schema } };
      const headers = WAITS.includes(status) ? { headers: { 'Retry-After': RETRY_AFTER } } : {};
      return [String(status), { description: `One of the codes ${codes.join(', ')}.`, ...headers, content }];
    }),
  );
}

/** A schema as a component: titles name types of ours, and a client would take them for names of the interface. */
function componentOf({ schema, isRequest }: Component): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    target: 'draft-2020-12',
    io: 'output',
    override: ({ jsonSchema }) => {
      delete jsonSchema.title;
    },
  });
  return isRequest ? withNulls(rest) : rest;
}

/** A key whose value is null counts as absent in every body. */
function withNulls(node: object): object {
  if (Array.isArray(node)) return node.map((each) => (isObject(each) ? withNulls(each) : each));
  const { required = [] } = node as { required?: string[] };
  const entries = Object.entries(node).map(([key, value]): [string, unknown] => {
    if (!isObject(value)) return [key, value];
    if (key !== 'properties' || !('type' in node)) return [key, withNulls(value)];
    const fields = Object.entries<object>(withNulls(value) as Record<string, object>);
    return [
      key,
      Object.fromEntries(fields.map(([name, field]) => [name, required.includes(name) ? field : orNull(field)])),
    ];
  });
  return Object.fromEntries(entries);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function orNull(field: object): object {
  const { description, ...value } = field as { description?: string; type?: unknown; enum?: unknown };
  const isAnything = Object.keys(value).length === 0;
  if (isAnything) return field;
  const { type, ...others } = value;
  const isPlain = typeof type === 'string' && !('enum' in value) && !('const' in value);
  const nullable = isPlain ? { type: [type, 'null'], ...others } : { anyOf: [value, { type: 'null' }] };
  return { ...(description ? { description } : {}), ...nullable };
}
