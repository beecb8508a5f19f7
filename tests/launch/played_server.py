"""Plays W&B's server well enough to be sent runs, workspaces and reports, and keeps what came."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0123456789abcdef" * 2 + "01234567"
TEAM = {"id": "1", "name": "team"}
PROJECT = {"id": "1", "internalId": "1", "name": "rexnet", "entityName": "team", "entity": TEAM}


class Server:
    """The server's side.

    Attributes:
        ids: of runs.
        history: rows of metrics, in the order in which they came.
        summary: the last one.
        views: workspaces and reports, as the variables of the call that saves one.
        received: all bodies.
        vanished: while set, nothing is answered.
    """

    def __init__(self, http: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{http.server_address[1]}"
        self.ids: set[str] = set()
        self.history: list[dict[str, Any]] = []
        self.offsets: list[int] = []
        self.summary: dict[str, Any] = {}
        self.views: list[dict[str, Any]] = []
        self.received = b""
        self.vanished = threading.Event()

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        """Returns what to answer to a request."""
        self.received += body
        if path.endswith("/file_stream"):
            return self._stream(json.loads(body).get("files") or {})
        if not path.endswith("/graphql"):
            return {}
        request = json.loads(body)
        return self._query(request["query"], request.get("variables") or {})

    def _stream(self, files: dict[str, Any]) -> dict[str, Any]:
        if "wandb-history.jsonl" in files:
            self.offsets.append(files["wandb-history.jsonl"]["offset"])
            self.history += map(json.loads, files["wandb-history.jsonl"]["content"])
        if "wandb-summary.json" in files:
            self.summary = json.loads(files["wandb-summary.json"]["content"][-1])
        return {}

    def _query(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "upsertBucket" in query:
            self.ids.add(variables["name"])
            bucket = {"id": "1", "name": variables["name"], "displayName": "r", "config": "{}"}
            return {"data": {"upsertBucket": {"inserted": True, "bucket": bucket | {"project": PROJECT}}}}
        if "historyTail" in query:
            return {"data": {"model": {"id": "1", "name": "rexnet", "bucket": self._bucket(variables)}}}
        if "upsertView" in query:
            self.views.append(variables)
            view = {"id": f"view{len(self.views)}", "name": variables["name"], "spec": variables["spec"]}
            view |= {"type": variables["type"], "displayName": variables["displayName"], "description": ""}
            view |= {"project": PROJECT, "updatedAt": "2026-01-02T03:04:05"}
            return {"data": {"upsertView": {"inserted": True, "view": view}}}
        if "GetProjects" in query:
            known = {"createdAt": "2026-01-02T03:04:05", "isBenchmark": False, "user": None}
            pages = {"pageInfo": {"hasNextPage": False, "endCursor": None}}
            return {"data": {"models": pages | {"edges": [{"node": PROJECT | known}]}}}
        if "viewer" in query.lower():
            viewer = {"id": "1", "entity": "team", "username": "u", "flags": "{}", "teams": {"edges": []}}
            return {"data": {"viewer": viewer}}
        if "ProjectInternalId" in query:
            return {"data": {"project": PROJECT}}
        return {"data": {}, "errors": [{"message": "not known here"}]}

    def _bucket(self, variables: dict[str, Any]) -> dict[str, Any] | None:
        if not self.history:
            return None
        tail = json.dumps([json.dumps(row) for row in self.history[-1:]])
        lines = {"historyLineCount": len(self.history), "eventsLineCount": 0, "logLineCount": 0}
        texts = {"config": "{}", "summaryMetrics": "{}", "wandbConfig": '{"t": {}}'}
        return {"id": "1", "name": variables["name"], "tags": [], "eventsTail": "[]", "historyTail": tail} | (
            lines | texts
        )


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None: ...

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            while known.vanished.is_set():
                time.sleep(0.1)
            with lock:
                content = json.dumps(known.answer(self.path, body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PUT = do_GET = do_POST

    lock = threading.Lock()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        known = Server(http)
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield known
        finally:
            http.shutdown()
            thread.join()


@contextmanager
def dropping() -> Iterator[str]:
    """An address whose packets nobody answers, as behind a firewall: its queue of connections is full."""
    with socket.socket() as listening, ExitStack() as waiting:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
