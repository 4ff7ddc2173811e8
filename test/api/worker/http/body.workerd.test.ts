// Bodies as clients send them: compressed, in another encoding, too large, broken off, as forms in pieces.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CoreError } from '../../../../api/core/errors.ts';
import { readForm, readJson, readJsonOrForm } from '../../../../api/worker/http/body.ts';
import { type FormField, parseMultipart } from '../../../../api/worker/http/multipart.ts';
import { LIMITS } from '../../../../contracts/src/api/limits.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);
const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const utf16 = (text: string) => Uint8Array.from([...text].flatMap((character) => [character.charCodeAt(0), 0]));
const DOCUMENT = { input: 'ein Hund für dich' };
const JSON_BYTES = utf8(JSON.stringify(DOCUMENT));

function request(body: Uint8Array | ReadableStream, headers: Record<string, string> = {}): Request {
  const type = { 'content-type': 'application/json' };
  return new Request('http://x/embed', { method: 'POST', body, headers: { ...type, ...headers } });
}

async function compress(bytes: Uint8Array, format: 'gzip' | 'deflate' | 'deflate-raw', times = 1): Promise<Uint8Array> {
  const { readable, writable } = new CompressionStream(format);
  const writer = writable.getWriter();
  const written = (async () => {
    for (let round = 0; round < times; round++) await writer.write(bytes);
    await writer.close();
  })();
  const packed = new Uint8Array(await new Response(readable).arrayBuffer());
  await written;
  return packed;
}

async function refusal(reading: Promise<unknown>): Promise<[string, string]> {
  const error = await reading.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof CoreError) return [error.code, error.message];
  throw new Error(`not refused as it should be: ${error}`);
}

describe('JSON', () => {
  test.each(['gzip', 'deflate', 'x-gzip'] as const)('in %s is read', async (encoding) => {
    const body = await compress(JSON_BYTES, encoding === 'deflate' ? 'deflate' : 'gzip');
    expect(await readJson(request(body, { 'content-encoding': encoding }))).toEqual(DOCUMENT);
  });

  test('behind a byte order mark, in one byte a chunk, is read', async () => {
    const bytes = utf8(`\ufeff${JSON.stringify(DOCUMENT)}`);
    const stream = new ReadableStream({
      pull(controller) {
        for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
        controller.close();
      },
    });
    expect(await readJson(request(stream))).toEqual(DOCUMENT);
  });

  test('is read once all of it is there that Content-Length declares, though the stream stays open', async () => {
    const stream = new ReadableStream({ start: (controller) => controller.enqueue(JSON_BYTES) });
    expect(await readJson(request(stream, { 'content-length': String(JSON_BYTES.length) }))).toEqual(DOCUMENT);
  });

  test.each([
    ['brotli', { 'content-encoding': 'br' }, 'unsupported_media_type', /Content-Encoding br .* gzip or deflate/],
    ['zstd', { 'content-encoding': 'zstd' }, 'unsupported_media_type', /Content-Encoding zstd/],
    [
      'what objects have by themselves',
      { 'content-encoding': 'constructor' },
      'unsupported_media_type',
      /Content-Encoding constructor/,
    ],
    ['two codings', { 'content-encoding': 'gzip, gzip' }, 'unsupported_media_type', /Content-Encoding gzip, gzip/],
    ['gzip that is none', { 'content-encoding': 'gzip' }, 'invalid_request', /is not gzip/],
    [
      'a charset of its own',
      { 'content-type': 'application/json; charset=iso-8859-1' },
      'unsupported_media_type',
      /not as iso-8859-1/,
    ],
  ])('in %s is refused', async (_, headers, code, message) => {
    expect(await refusal(readJson(request(JSON_BYTES, headers as Record<string, string>)))).toEqual([
      code,
      expect.stringMatching(message),
    ]);
  });

  test.each([
    [
      'what .NET and Go call deflate, without its frame',
      'deflate',
      'deflate-raw',
      1,
      /not deflate in its frame \(zlib\)/,
    ],
    ['gzip of several parts, as bgzip and cat write it', 'gzip', 'gzip', 2, /gzip in one part/],
  ] as const)('in %s is told what to send', async (_, encoding, format, parts, message) => {
    const packed = await compress(JSON_BYTES, format);
    const body = new Uint8Array(await new Blob(Array(parts).fill(packed)).arrayBuffer());
    const refused = await refusal(readJson(request(body, { 'content-encoding': encoding })));
    expect(refused).toEqual(['invalid_request', expect.stringMatching(message)]);
  });

  test.each([
    ['UTF-16', utf16(JSON.stringify({ input: 'a' })), /UTF-16/],
    ['UTF-16 with a mark', Uint8Array.of(0xff, 0xfe, ...utf16('{}')), /UTF-16/],
    ['Latin-1', latin1('{"input": "für"}'), /not UTF-8, perhaps Latin-1/],
    ['nothing', new Uint8Array(), /empty/],
    ['half a document', utf8('{"input": '), /not JSON/],
    ['gzip without a word of it', Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0), /is gzip.*add content-encoding: gzip/],
    ['a comma behind the last entry', utf8('{"input": ["a",]}'), /no comma behind the last entry/],
    ['a comma behind the last key', utf8('{"input": "a",\n}'), /no comma behind the last entry/],
    ['a value that was left out', utf8('{"input": }'), /valid JSON$/],
    ["Python's print of a dictionary", utf8("{'input': ['a']}"), /double quotes/],
    ['keys as JavaScript has them', utf8('{input: "a"}'), /double quotes/],
    ["Python's None", utf8('{"input": "a", "model": None}'), /null, true and false/],
    ['a line break in a text', utf8('{"input": "a\nb"}'), /written \\n/],
  ])('that is %s is malformed and told so', async (_, body, message) => {
    expect(await refusal(readJson(request(body)))).toEqual(['malformed_json', expect.stringMatching(message)]);
  });

  test.each([
    ['JSON alone', readJson, 'application/x-www-form-urlencoded', /-H 'content-type: application\/json'$/],
    ['JSON or a form', readJsonOrForm, 'text/plain', /-H 'content-type: application\/json'$/],
    ['JSON or a form', readJsonOrForm, 'image/jpeg', /-F image=@FILE$/],
    ['a form', readForm, 'application/json', /-F file=@FILE$/],
    ['JSON alone', readJson, 'multipart/form-data; boundary=X', /not multipart\/form-data\. With curl: -H/],
  ] as const)('where %s is taken, another content type is told what to send: %s', async (_, read, type, message) => {
    expect(await refusal(read(request(JSON_BYTES, { 'content-type': type })))).toEqual([
      'unsupported_media_type',
      expect.stringMatching(message),
    ]);
  });

  test('that is cut off in its gzip is refused', async () => {
    const body = (await compress(JSON_BYTES, 'gzip')).subarray(0, -12);
    const [code, message] = await refusal(readJson(request(body, { 'content-encoding': 'gzip' })));
    expect([code, message]).toEqual(['invalid_request', expect.stringMatching(/cut off/)]);
  });

  test('that unfolds to more than a body may have is refused when it does', async () => {
    const bomb = await compress(new Uint8Array(2 ** 20).fill(32), 'gzip', 200);
    expect(bomb.length).toBeLessThan(LIMITS.body_bytes / 40);
    const [code, message] = await refusal(readJson(request(bomb, { 'content-encoding': 'gzip' })));
    expect([code, message]).toEqual(['body_too_large', expect.stringMatching(/when its gzip is undone/)]);
    const [, sent] = /(\d+) or more/.exec(message) ?? [];
    // One slice further than the limit, and not the 200 MiB that it would become.
    expect(Number(sent)).toBeLessThan(2 * LIMITS.body_bytes);
  });

  test('whose connection breaks off is no fault of ours', async () => {
    const stream = new ReadableStream({
      pull(controller) {
        controller.error(new Error('Network connection lost.'));
      },
    });
    const [code, message] = await refusal(readJson(request(stream)));
    expect([code, message]).toEqual(['invalid_request', expect.stringMatching(/broke off/)]);
  });
});

describe('a form', () => {
  const TYPE = 'multipart/form-data; boundary=X';
  const parse = (...pieces: Uint8Array[]) =>
    parseMultipart(
      (async function* () {
        yield* pieces;
      })(),
      TYPE,
    );
  const field = (name: string, value: string, more = '') =>
    `--X\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`;

  test('is what the platform reads, however it is cut into pieces', async () => {
    const value = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.string({ unit: fc.constantFrom('\r', '\n', '-', 'X', 'a', 'ä'), maxLength: 20 }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom('text', 'image', 'a b'), value), { maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 10 }),
        async (fields, cuts) => {
          const form = new FormData();
          for (const [name, content] of fields) {
            form.append(name, typeof content === 'string' ? content : new Blob([content.slice()]));
          }
          const written = new Response(form);
          const bytes = new Uint8Array(await written.clone().arrayBuffer());
          const type = written.headers.get('content-type') ?? '';
          const pieces: Uint8Array[] = [];
          for (let at = 0, turn = 0; at < bytes.length; turn++) {
            const size = cuts[turn % cuts.length] ?? 1;
            pieces.push(bytes.subarray(at, at + size));
            at += size;
          }
          const read = await parseMultipart(
            (async function* () {
              yield* pieces;
            })(),
            type,
          );
          const expected: FormField[] = [];
          for (const [name, content] of await written.formData()) {
            if (typeof content === 'string') expected.push({ name, value: content });
            else expected.push({ name, value: new Uint8Array(await content.arrayBuffer()), filename: content.name });
          }
          expect(read).toEqual(expected);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('may have a preamble, an epilogue, an empty field and a quoted boundary', async () => {
    const body = utf8(`before\r\n${field('text', '')}${field('text', 'a')}--X--\r\nafter --X`);
    expect(await parse(body)).toEqual([
      { name: 'text', value: '' },
      { name: 'text', value: 'a' },
    ]);
    const request_ = new Request('http://x', {
      method: 'POST',
      body,
      headers: { 'content-type': 'multipart/form-data; charset=utf-8; boundary="X"' },
    });
    expect(await readJsonOrForm(request_)).toMatchObject({ form: [{ value: '' }, { value: 'a' }] });
  });

  test('may name a file before its field, and the file may be called what a field is', async () => {
    const header = 'Content-Disposition: form-data; filename="a; name=text.gif"; name="image"';
    const unquoted = 'Content-Disposition: form-data; name=file; filename=lines.jsonl';
    const body = utf8(`--X\r\n${header}\r\n\r\nGIF\r\n--X\r\n${unquoted}\r\n\r\n{}\r\n--X--`);
    expect(await parse(body)).toEqual([
      { name: 'image', value: utf8('GIF'), filename: 'a; name=text.gif' },
      { name: 'file', value: utf8('{}'), filename: 'lines.jsonl' },
    ]);
  });

  test('with blanks behind a boundary is read, and refused where they go on: each chunk was read anew', async () => {
    expect(await parse(utf8(`${field('text', 'a')}--X-- \t`))).toHaveLength(1);
    let pieces = 0;
    async function* blanks() {
      yield utf8('--X');
      for (; pieces < 1000; pieces++) yield new Uint8Array(4096).fill(32);
    }
    const [code, message] = await refusal(parseMultipart(blanks(), TYPE));
    expect([code, message]).toEqual(['invalid_request', expect.stringMatching(/line of a boundary is too long/)]);
    expect(pieces).toBeLessThan(5);
  });

  test('in gzip is read', async () => {
    const body = await compress(utf8(`${field('text', 'a dog')}--X--`), 'gzip');
    const sent = request(body, { 'content-type': TYPE, 'content-encoding': 'gzip' });
    expect(await readJsonOrForm(sent)).toEqual({ form: [{ name: 'text', value: 'a dog' }] });
  });

  test.each([
    ['of text in Latin-1', latin1(`${field('text', 'caf\xe9')}--X--`), 'invalid_request', /field text is not UTF-8/],
    ['without its boundary', utf8('--Y\r\n\r\n\r\n--Y--'), 'invalid_request', /does not occur/],
    ['that is cut off', utf8(field('text', 'a')), 'invalid_request', /cut off/],
    ['without names', utf8('--X\r\nContent-Disposition: form-data\r\n\r\na\r\n--X--'), 'invalid_request', /no name/],
    ['with a header without end', utf8(`--X\r\n${'a'.repeat(10_000)}`), 'invalid_request', /header .* too long/],
    [
      'with a file in base64',
      utf8(
        '--X\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n' +
          'Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--X--',
      ),
      'unsupported_media_type',
      /image is sent as base64/,
    ],
    [
      'of too many fields',
      utf8(`${field('text', 'a').repeat(LIMITS.items + 50)}--X--`),
      'too_many_items',
      /A form may have/,
    ],
  ])('%s is refused', async (_, body, code, message) => {
    expect(await refusal(parse(body))).toEqual([code, expect.stringMatching(message)]);
  });
});
