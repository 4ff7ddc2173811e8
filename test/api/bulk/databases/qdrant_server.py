"""Qdrant's requests of `npm run load` over HTTP, answered by the local mode of Qdrant's own client: no server runs here.

Prints its port, ends with its input; asks for the key that it is started with. Models of the client read every body, so that a field Qdrant does not know is refused.
"""

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from qdrant_client import QdrantClient, models

client = QdrantClient(":memory:")


class Handler(BaseHTTPRequestHandler):
    """Answers as Qdrant does: {"result": ...}."""

    def answer(self) -> None:
        """One request."""
        if self.headers.get("api-key") != sys.argv[1]:
            self.reply(401, {"status": {"error": "Must provide an API key or an Authorization bearer token"}})
            return
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or "null")
        name, rest = re.fullmatch(r"/collections/(\w+)(/points[\w/]*)?(?:\?wait=true)?", self.path).groups()
        if self.command == "GET" and not client.collection_exists(name):
            self.reply(404, {"status": {"error": f"Not found: Collection `{name}` doesn't exist!"}})
            return
        try:
            self.reply(200, {"result": work(self.command, name, rest, body)})
        except Exception as error:  # a body that Qdrant's models refuse
            self.reply(400, {"status": {"error": str(error)}})

    do_GET = do_PUT = do_POST = answer

    def reply(self, status: int, document: object) -> None:
        """Send a document."""
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def work(method: str, name: str, rest: str | None, body: dict) -> object:
    """What a request asks for."""
    if rest is None and method == "PUT":
        vectors = models.CreateCollection.model_validate(body).vectors
        return client.create_collection(name, vectors)
    if rest is None:
        return json.loads(client.get_collection(name).model_dump_json())
    if rest == "/points" and method == "PUT":
        client.upsert(name, models.PointsList.model_validate(body).points, wait=True)
        return {"status": "completed"}
    if rest == "/points/scroll":
        request = models.ScrollRequest.model_validate(body)
        points, _ = client.scroll(name, limit=request.limit or 10, with_payload=True)
        return {"points": [{"id": point.id, "payload": point.payload} for point in points]}
    if rest == "/points/query":
        request = models.QueryRequest.model_validate(body)
        found = client.query_points(name, query=request.query, limit=request.limit or 10, with_payload=True).points
        return {"points": [{"score": point.score, "payload": point.payload} for point in found]}
    raise ValueError(f"{method} {rest} is not answered here")


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
