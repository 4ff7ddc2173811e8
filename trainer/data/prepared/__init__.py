"""What `prepare` writes beside its image shards: texts and classes, and what it says of all of it."""
