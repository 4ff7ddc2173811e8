// The error document of each door: valid in its form, and with our sentence where its clients look for one.
import { expect, test } from 'vitest';
import { errorDocument } from '../../../../api/core/error-document.ts';
import { CoreError } from '../../../../api/core/errors.ts';
import { DIALECTS } from '../../../../api/worker/http/dialects.ts';
import { DOOR_ERRORS, TeiError } from '../../../../contracts/src/api/doors/errors.ts';
import { ErrorCode } from '../../../../contracts/src/api/error.ts';
import { DOORS, type Door } from '../../../../contracts/src/api/operation.ts';

const SENTENCE = 'The text is empty.';
const write = (door: Door, code: ErrorCode): object =>
  DIALECTS[door](errorDocument(new CoreError(code, SENTENCE, { param: 'input.1', item: 1 }), 'request-1').body);

/** Read from the clients' sources. */
const SHOWN: Record<Door, string> = {
  own: 'detail',
  openai: 'error.message',
  jina: 'detail',
  voyage: 'detail',
  cohere: 'message',
  tei: 'error',
};

test.each(DOORS)('%s has the sentence where its clients show it, for every code', (door) => {
  for (const code of ErrorCode.options) {
    const body = write(door, code);
    expect(DOOR_ERRORS[door].parse(body)).toEqual(body);
    expect(body).toHaveProperty(SHOWN[door], SENTENCE);
    // What is ours is in every form.
    expect(body).toMatchObject({ code, detail: SENTENCE, request_id: 'request-1', item: 1 });
  }
});

test.each([
  ['empty_input', 'Empty'],
  ['text_too_long', 'Validation'],
  ['overloaded', 'Overloaded'],
  ['encoder_unavailable', 'Unhealthy'],
  ['encoder_error', 'Backend'],
] as const)('%s is of TEI’s type %s', (code, type) => {
  expect(TeiError.parse(write('tei', code)).error_type).toBe(type);
});
