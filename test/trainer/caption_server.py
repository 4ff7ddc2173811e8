"""A server of chat completions on this machine, and `python -m augment` in this process, for tests of captions that are written."""

import contextlib
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

from augment.__main__ import main

APPLES = [
    {"name": "Granny Smith", "coarse": "Apple", "description": "A green apple with firm white pulp."},
    {"name": "Pink Lady", "coarse": "Apple", "description": "A pink and crispy apple."},
    {"name": "Leek", "coarse": "Leek", "description": "A long vegetable with green leaves."},
]
Reply = tuple[int, dict[str, str], Any]


@contextmanager
def serving(answer: Callable[[dict[str, Any]], Reply]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server of chat completions on this machine: its base URL, and what it was sent (body and authorization)."""
    received: list[dict[str, Any]] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                received.append({**body, "authorization": self.headers["authorization"], "path": self.path})
                status, headers, document = answer(body)
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def completion(text: str, read: int = 100, written: int = 20) -> Reply:
    """A chat completion as OpenAI documents it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return 200, {}, {"object": "chat.completion", "choices": [choice], "usage": usage}


def sensible(body: dict[str, Any]) -> Reply:
    """Two usable captions of the thing that is asked about."""
    thing = body["messages"][-1]["content"].split("Thing: ")[1].split(" (")[0].split(".")[0].split("\n")[0]
    kind = "vegetable" if thing == "Leek" else "apple"
    return completion(f"1. A {thing} {kind} on a wooden table.\n2. Close-up of one {thing} {kind} held in a hand.\n")


def augment(folder: Path, url: str, env: dict[str, str] | None = None, **more: Any) -> tuple[int, str, dict[str, Any]]:
    """(exit code, standard error, report) of one run over APPLES."""
    server = {
        "type": "openai",
        "base_url": url,
        "model": "m",
        "key_variable": None,
        "concurrency": 1,
        "timeout_seconds": 60,
    }
    writer = more.pop("writer", {})
    source = folder / "classes.json"
    source.write_text(json.dumps(APPLES))
    job = {
        "input": str(source),
        "image_column": None,
        "caption_columns": None,
        "class_column": None,
        "output": str(folder / "captions.jsonl"),
        "cache": str(folder / "cache"),
        "prompts": None,
        "writer": writer if writer.get("type") == "local" else {**server, **writer},
        "per_item": 2,
        "language": "English",
        "max_words": 40,
        "answer_tokens": 48,
        "temperature": 0.8,
        "seed": 0,
        "limits": {"requests": None, "tokens": None, "usd": None},
        "prices": None,
        **more,
    }
    file = folder / "job.json"
    file.write_text(json.dumps(job))
    errors = io.StringIO()
    with mock.patch.dict(os.environ, env or {}), mock.patch.object(sys, "argv", ["augment", str(file)]):
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
                code = main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    report = folder / "captions.jsonl.report.json"
    return code, errors.getvalue(), json.loads(report.read_text()) if report.exists() else {}


def rows(folder: Path) -> list[dict[str, Any]]:
    """What was written."""
    return [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
