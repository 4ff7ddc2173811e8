"""Data that nobody loads whole: shards and their manifest, their order and streaming, and features of captions beside them."""
