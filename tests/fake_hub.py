"""A hub on loopback that holds one data set or one model, speaking as much of its protocol as reading it needs."""

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
    server: "_Hub"

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        name, contents = self.server.name, self.server.files
        info, files = f"/api/{self.server.kind}/{name}", f"{self.server.prefix}/{name}/resolve/"
        if path in (info, f"{info}/revision/main", f"{info}/revision/{COMMIT}"):
            siblings = [{"rfilename": file} for file in contents]
            self._json({"id": name, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings})
        elif path.startswith(f"{info}/revision/"):
            self._missing("RevisionNotFound")
        elif path.startswith(f"{info}/tree/"):
            self._json([{"type": "file", "path": n, "size": len(c), "oid": _tag(c)} for n, c in contents.items()])
        elif path.startswith(files) and path.removeprefix(files).partition("/")[2] in contents:
            self._file(contents[path.removeprefix(files).partition("/")[2]])
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


class _Hub(ThreadingHTTPServer):
    def __init__(self, kind: str, name: str, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.kind, self.name, self.files = kind, name, files
        self.prefix = "/datasets" if kind == "datasets" else ""


@contextmanager
def serving(kind: str = "datasets", name: str = NAME, files: dict[str, bytes] = FILES) -> Iterator[str]:
    """Serve a data set or a model; yields the hub's address."""
    server = _Hub(kind, name, files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
