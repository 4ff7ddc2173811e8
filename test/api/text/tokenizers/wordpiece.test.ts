// WordPiece in Node.
import { testWordPiece } from '../../worker/wordpiece-vectors.ts';

testWordPiece();
