"""A hub on loopback that holds one data set, speaking as much of its protocol as reading it needs."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" * 6 + "c0ff"
NAME = "someone/questions"
CARD = """---
configs:
- config_name: default
  data_files:
  - {split: train, path: train.jsonl}
  - {split: validation, path: validation.jsonl}
---
"""


def rows(count: int, mark: str) -> bytes:
    """Questions of which two each share a passage."""
    made = ({"question": f"{mark} {i}?", "context": f"{mark} {i // 2}.", "id": i} for i in range(count))
    return "".join(json.dumps(row) + "\n" for row in made).encode()


FILES = {"README.md": CARD.encode(), "train.jsonl": rows(40, "train"), "validation.jsonl": rows(6, "other")}


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        info, files = f"/api/datasets/{NAME}", f"/datasets/{NAME}/resolve/"
        if path in (info, f"{info}/revision/main", f"{info}/revision/{COMMIT}"):
            siblings = [{"rfilename": name} for name in FILES]
            self._json({"id": NAME, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings})
        elif path.startswith(f"{info}/revision/"):
            self._missing("RevisionNotFound")
        elif path.startswith(f"{info}/tree/"):
            self._json([{"type": "file", "path": n, "size": len(c), "oid": _tag(c)} for n, c in FILES.items()])
        elif path.startswith(files) and path.rpartition("/")[2] in FILES:
            self._file(FILES[path.rpartition("/")[2]])
        else:
            self._missing("EntryNotFound" if path.startswith(files) else "RepoNotFound")

    do_HEAD = do_GET  # noqa: N815  # the name that http.server asks for

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _file(self, content: bytes) -> None:
        self._answer(200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{_tag(content)}"'})

    def _missing(self, code: str) -> None:
        self._answer(404, b"{}", {"X-Error-Code": code, "Content-Type": "application/json"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _tag(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


@contextmanager
def serving() -> Iterator[str]:
    """Serve the data set; yields the hub's address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
