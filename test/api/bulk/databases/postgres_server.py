"""A PostgreSQL with pgvector in the folder that is named, from the package pgserver: prints its address, ends with its input."""

import sys

import pgserver

with pgserver.get_server(sys.argv[1], cleanup_mode="stop") as server:
    print(server.get_uri(), flush=True)
    sys.stdin.read()
