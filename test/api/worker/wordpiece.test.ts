// WordPiece in Node.
import { testWordPiece } from './wordpiece-vectors.ts';

testWordPiece();
