"""Token ids by the trainer's tokenizer: {"pieces": [...], "texts": [...]} from standard input, a list of lists of ids out."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "trainer"), str(ROOT / "contracts/python")]

from towers.wordpiece import WordPiece  # noqa: E402

asked = json.load(sys.stdin)
print(json.dumps(WordPiece(asked["pieces"]).tokens(asked["texts"])))
