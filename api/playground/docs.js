// The page of the interface: /openapi.json as headings, tables of fields and examples that can be sent. Nothing is fetched elsewhere.

/** @typedef {{ $ref?: string, type?: string | string[], description?: string, enum?: unknown[], const?: unknown, properties?: Record<string, Schema>, required?: string[], items?: Schema, anyOf?: Schema[], oneOf?: Schema[], maxItems?: number, maxLength?: number, minimum?: number, maximum?: number }} Schema */
/** @typedef {{ schema: Schema, examples?: Record<string, { value: object }> }} Media */
/** @typedef {{ name: string, in: string, required?: boolean, description?: string, schema: Schema }} Parameter */
/** @typedef {{ operationId: string, tags: string[], summary: string, description?: string, security: object[], parameters?: Parameter[], requestBody?: { content: Record<string, Media> }, responses: Record<string, { description: string, content?: Record<string, Media> }> }} Operation */
/** @typedef {{ info: { title: string, version: string, description: string }, tags: { name: string, description: string }[], paths: Record<string, Record<string, Operation>>, components: { schemas: Record<string, Schema> } }} OpenApi */
/** @typedef {{ path: string, method: string, operation: Operation }} Row */

/**
 * An element with attributes and children; text is never read as markup.
 * @param {string} name
 * @param {Record<string, string>} attributes
 * @param {(string | Node)[]} children
 */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/**
 * Descriptions have code in backticks and nothing else.
 * @param {string} text
 */
function prose(text) {
  return text.split('`').map((part, index) => (index % 2 === 1 ? element('code', {}, part) : part));
}

/** @param {string} id */
function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no ${id}`);
  return found;
}

/**
 * @param {OpenApi} document
 * @param {Schema} schema
 * @returns {Schema}
 */
function resolved({ components }, schema) {
  const name = schema.$ref?.split('/').at(-1);
  return name === undefined ? schema : (components.schemas[name] ?? schema);
}

/**
 * A type in a few words, such as `string | list of (text or object)`.
 * @param {OpenApi} document
 * @param {Schema} schema
 * @param {number} depth
 * @returns {string}
 */
function typeOf(document, schema, depth = 0) {
  const { anyOf, oneOf, items, type, enum: values, const: only } = resolved(document, schema);
  const branches = anyOf ?? oneOf;
  if (values) return values.map((value) => JSON.stringify(value)).join(' | ');
  if (only !== undefined) return JSON.stringify(only);
  if (branches && depth < 3) {
    return [...new Set(branches.map((branch) => typeOf(document, branch, depth + 1)))].join(' | ');
  }
  if (items && depth < 3) return `list of (${typeOf(document, items, depth + 1)})`;
  return type === undefined ? 'any' : [type].flat().join(' | ');
}

/**
 * Rows of a body's fields; of a union one table per branch that has fields.
 * @param {OpenApi} document
 * @param {Schema} schema
 * @returns {HTMLElement[]}
 */
function fieldsOf(document, schema) {
  const { properties, required = [], anyOf, oneOf, description } = resolved(document, schema);
  const branches = anyOf ?? oneOf;
  if (branches) return branches.flatMap((branch) => fieldsOf(document, branch));
  if (!properties) return [];
  const rows = Object.entries(properties).map(([name, field]) => {
    const said = { ...field, description: field.description ?? resolved(document, field).description };
    return rowOf(document, { name, schema: said, isNeeded: required.includes(name) });
  });
  const caption = description ? [element('p', {}, ...prose(description))] : [];
  return [...caption, element('table', {}, element('tbody', {}, ...rows))];
}

/**
 * A field or parameter: its name, its type, what it means.
 * @param {OpenApi} document
 * @param {{ name: string, schema: Schema, isNeeded: boolean }} what
 */
function rowOf(document, { name, schema, isNeeded }) {
  return element(
    'tr',
    {},
    element('th', { scope: 'row' }, element('code', {}, name), isNeeded ? '' : ' (optional)'),
    element('td', {}, element('code', {}, typeOf(document, schema))),
    element('td', {}, ...prose(schema.description ?? '')),
  );
}

/**
 * What is said beside the body: in the address, or in a header.
 * @param {OpenApi} document
 * @param {Parameter[]} parameters
 */
function parametersOf(document, parameters) {
  const rows = parameters.map(({ name, in: where, required, description, schema }) => {
    const said = { ...schema, description: `${description ?? schema.description ?? ''} (${where})` };
    return rowOf(document, { name, schema: said, isNeeded: required === true });
  });
  return rows.length === 0
    ? []
    : [
        element(
          'details',
          {},
          element('summary', {}, 'Parameters'),
          element('table', {}, element('tbody', {}, ...rows)),
        ),
      ];
}

/**
 * @param {string} path
 * @param {string} body
 */
function curl(path, body) {
  const quoted = body.replaceAll("'", String.raw`'\''`);
  // The key itself is not for a screen.
  const key = keyHeader().authorization ? ` \\\n  -H "authorization: Bearer $KEY"` : '';
  return `curl ${location.origin}${path}${key} \\\n  -H 'content-type: application/json' \\\n  -d '${quoted}'`;
}

/** @returns {Record<string, string>} */
function keyHeader() {
  const key = /** @type {HTMLInputElement} */ (byId('key')).value;
  return key === '' ? {} : { authorization: `Bearer ${key}` };
}

/**
 * An example's body to change and send, the same as curl, and what came back.
 * @param {string} path
 * @param {string} name
 * @param {object} value
 */
function example(path, name, value) {
  const body = /** @type {HTMLTextAreaElement} */ (element('textarea', { rows: '6', 'aria-label': `Body of ${name}` }));
  body.value = JSON.stringify(value, null, 2);
  const command = element('pre', {}, curl(path, JSON.stringify(value)));
  for (const field of [body, byId('key')])
    field.addEventListener('input', () => command.replaceChildren(curl(path, body.value)));
  const answer = element('pre', { hidden: '', 'data-answer': name });
  const button = element('button', { type: 'button' }, 'Send');
  button.addEventListener('click', async () => {
    answer.hidden = false;
    answer.textContent = 'Sending…';
    answer.textContent = await answerTo(path, body.value);
  });
  return element('details', {}, element('summary', {}, `Example: ${name}`), body, button, answer, command);
}

/**
 * @param {string} path
 * @param {string} body
 */
async function answerTo(path, body) {
  try {
    const headers = { 'content-type': 'application/json', ...keyHeader() };
    const response = await fetch(path, { method: 'POST', headers, body });
    const text = await response.text();
    return `${response.status}\n${text.length > 2000 ? `${text.slice(0, 2000)}… (${text.length} characters)` : text}`;
  } catch (error) {
    return `The server cannot be reached: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/**
 * @param {OpenApi} document
 * @param {Row} row
 */
function section(document, { path, method, operation }) {
  const { operationId, summary, description, parameters = [], requestBody, responses } = operation;
  const id = `operation-${operationId}`;
  const media = requestBody?.content['application/json'];
  const answers = Object.entries(responses).map(([status, response]) => {
    const schema = status === '200' ? response.content?.['application/json']?.schema : undefined;
    return element(
      'details',
      {},
      element('summary', {}, element('code', {}, status), ' ', ...prose(response.description)),
      ...(schema ? fieldsOf(document, schema) : []),
    );
  });
  return element(
    'section',
    { id, class: 'card', 'aria-labelledby': `${id}-title` },
    element('h2', { id: `${id}-title` }, element('code', {}, `${method.toUpperCase()} ${path}`), ` ${summary}`),
    ...(description ? [element('p', {}, ...prose(description))] : []),
    ...parametersOf(document, parameters),
    ...(media
      ? [element('details', {}, element('summary', {}, 'Fields of the body'), ...fieldsOf(document, media.schema))]
      : []),
    ...(requestBody?.content['multipart/form-data']
      ? [element('p', { class: 'quiet' }, 'A form is taken too: files as they are.')]
      : []),
    ...Object.entries(media?.examples ?? {}).map(([name, { value }]) => example(path, name, value)),
    ...answers,
  );
}

/** @param {OpenApi} document */
function show(document) {
  const { info, tags, paths } = document;
  byId('about').replaceChildren(`${info.description} Version ${info.version}.`);
  const rows = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  for (const { name, description } of tags) {
    const own = rows.filter(({ operation }) => operation.tags.includes(name));
    if (own.length === 0) continue;
    const links = own.map(({ path, method, operation }) =>
      element(
        'li',
        {},
        element('a', { href: `#operation-${operation.operationId}` }, `${method.toUpperCase()} ${path}`),
      ),
    );
    byId('contents').append(element('strong', {}, name), ` ${description}`, element('ul', {}, ...links));
    byId('operations').append(...own.map((row) => section(document, row)));
  }
}

try {
  const response = await fetch('openapi.json');
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  show(await response.json());
} catch (error) {
  byId('about').replaceChildren(
    element(
      'span',
      { class: 'error' },
      `openapi.json cannot be read: ${error instanceof Error ? error.message : error}`,
    ),
  );
}
