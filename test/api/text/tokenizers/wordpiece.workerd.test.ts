// WordPiece in workerd, whose Unicode tables and regular expressions are not Node's.
import { expect, test } from 'vitest';
import { testWordPiece } from '../../worker/wordpiece-vectors.ts';

test('this is workerd', () => expect(navigator.userAgent).toBe('Cloudflare-Workers'));
testWordPiece();
