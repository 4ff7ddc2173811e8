// The HTTP interface as OpenAPI 3.1, assembled from the table of operations and the schemas that check requests.
import { z } from 'zod';
import { DOOR_ERRORS } from './doors/errors.ts';
import { ERROR_STATUS } from './error.ts';
import type { Door, Operation } from './operation.ts';
import { OPERATIONS } from './operations.ts';

const POST_ERRORS = [400, 404, 413, 415, 422, 429, 500, 502, 503, 504];
const GET_ERRORS = [503];
/** Of paths that name something. */
const NAME_ERRORS = [404];
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
  const components = new Map<string, z.ZodType>();
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
      schemas: Object.fromEntries([...components].map(([name, schema]) => [name, componentOf(schema)])),
    },
  };
}

function describeOperation(id: string, operation: Operation, components: Map<string, z.ZodType>): object {
  const { method, path, aliases = [], summary, description, request, form, examples, answer, response } = operation;
  const { answerType = 'application/json', door, scope } = operation;
  const statuses = new Set([
    ...(method === 'POST' ? POST_ERRORS : GET_ERRORS),
    ...(path.includes('{') ? NAME_ERRORS : []),
    ...(scope ? KEY_ERRORS : []),
  ]);
  const also = aliases.length > 0 ? `The same as ${aliases.join(', ')}.` : '';
  const needs = scope ? `Needs a key with the scope \`${scope}\`.` : '';
  const text = [description, also, needs].filter(Boolean).join(' ');
  const content = {
    ...(request
      ? { 'application/json': { schema: place(request, components), ...(examples ? { examples } : {}) } }
      : {}),
    ...(form ? { 'multipart/form-data': { schema: form } } : {}),
  };
  const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    description: `The ${name} itself.`,
    schema: { type: 'string' },
  }));
  return {
    operationId: id,
    tags: [TAGS[door].name],
    summary,
    ...(text ? { description: text } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(request ? { requestBody: { required: true, content } } : {}),
    security: scope ? Object.keys(SECURITY).map((name) => ({ [name]: [] })) : [],
    responses: {
      '200': { description: answer, content: { [answerType]: { schema: place(response, components) } } },
      ...errorResponses([...statuses].sort(), errorSchema(operation, components)),
    },
  };
}

/** A schema with a title is a component of that name, any other one is written where it is used. */
function place(schema: z.ZodType, components: Map<string, z.ZodType>): object {
  const { title } = schema.meta() ?? {};
  if (title === undefined && schema instanceof z.ZodUnion) {
    return { anyOf: schema.options.map((option) => place(option as z.ZodType, components)) };
  }
  if (title === undefined) return componentOf(schema);
  const known = components.get(title);
  if (known && known !== schema) throw new Error(`two documents of /openapi.json are called ${title}`);
  components.set(title, schema);
  return { $ref: `#/components/schemas/${title}` };
}

function errorSchema({ door, sharedWith = [] }: Operation, components: Map<string, z.ZodType>): object {
  const schemas = [...new Set([door, ...sharedWith].map((each) => DOOR_ERRORS[each]))];
  const placed = schemas.map((schema) => place(schema, components));
  return placed.length === 1 && placed[0] ? placed[0] : { anyOf: placed };
}

/** Responses for the statuses that the error table knows; every one has the body of its door. */
function errorResponses(statuses: number[], schema: object): Record<string, object> {
  return Object.fromEntries(
    statuses.map((status) => {
      const codes = Object.entries(ERROR_STATUS).flatMap(([code, of]) => (of === status ? [code] : []));
      const content = { 'application/problem+json': { schema } };
      return [String(status), { description: `One of the codes ${codes.join(', ')}.`, content }];
    }),
  );
}

/** A schema as a component: titles name types of ours, and a client would take them for names of the interface. */
function componentOf(schema: z.ZodType): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    target: 'draft-2020-12',
    io: 'output',
    override: ({ jsonSchema }) => {
      delete jsonSchema.title;
    },
  });
  return rest;
}
