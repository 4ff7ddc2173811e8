// The error document that both hosts answer with: its fields for every code, its headers, and what it never says.
import { describe, expect, test } from 'vitest';
import { errorDocument } from '../../../api/core/error-document.ts';
import { CoreError } from '../../../api/core/errors.ts';
import { ERROR_STATUS, ErrorBody, ErrorCode } from '../../../contracts/src/api/error.ts';

describe('an error document', () => {
  test.each(ErrorCode.options)(
    'of %s keeps the contract, with a type of its own and a type for OpenAI clients',
    (code) => {
      const { status, headers, body } = errorDocument(
        new CoreError(code, 'A sentence.', { param: 'input.2', item: 2 }),
        'r',
      );
      expect(ErrorBody.parse(body)).toEqual(body);
      expect(status).toBe(ERROR_STATUS[code]);
      expect(body).toMatchObject({
        type: `urn:edge-clip:error:${code}`,
        status,
        detail: 'A sentence.',
        item: 2,
        request_id: 'r',
      });
      const types: Record<number, string> = {
        401: 'authentication_error',
        403: 'permission_error',
        429: code === 'quota_exceeded' ? 'insufficient_quota' : 'rate_limit_error',
      };
      const type = types[status] ?? (status < 500 ? 'invalid_request_error' : 'server_error');
      // A quota lasts for as long as whoever counts says, which is no second.
      const isTemporary = [429, 503, 504].includes(status) && !['not_configured', 'quota_exceeded'].includes(code);
      const wait = isTemporary ? { retry_after_seconds: 1 } : {};
      expect(body.error).toEqual({ message: 'A sentence.', type, param: 'input.2', code, ...wait });
      expect(headers['Content-Type']).toBe('application/problem+json');
      expect('Retry-After' in headers).toBe(isTemporary);
      expect(headers['x-should-retry']).toBe(
        status === 500 || ['not_configured', 'quota_exceeded'].includes(code) ? 'false' : undefined,
      );
    },
  );

  test('names the seconds after which it is worth trying again', () => {
    const thrown = new CoreError('overloaded', 'Busy.', { retryAfterSeconds: 7 });
    const { headers, body } = errorDocument(thrown, 'r');
    expect([headers['Retry-After'], body.error.retry_after_seconds]).toEqual(['7', 7]);
  });

  test('of anything else thrown is an internal error that says nothing of it', () => {
    const { status, body } = errorDocument(new Error('a secret path'), 'r');
    expect([status, body.code, body.error.param]).toEqual([500, 'internal_error', null]);
    expect(JSON.stringify(body)).not.toContain('secret');
  });
});
