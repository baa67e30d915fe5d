"""ECR on this machine's loopback address: its API, and the registry that engines push to.

The registry speaks what of the OCI distribution protocol a push takes, behind the login that the API gives out, and
like ECR takes images for repositories only that were made before.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sagemaker_simulator import Answer

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_PLACE = re.compile(r"/v2/(?P<name>.+)/(?P<kind>blobs|manifests)/(?P<which>.+)")


@dataclass
class Repository:
    """Manifests by digest, and the digests of tags."""

    manifests: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Registry:
    """One account's images."""

    address: str
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    repositories: dict[str, Repository] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    pushed: list[str] = field(default_factory=list)
    """Manifests that were put, by their digests."""
    refusal: str | None = None
    """Why no upload may begin, if that is so."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def login(self) -> str:
        return base64.b64encode(f"AWS:{self.password}".encode()).decode()

    def call(self, operation: str, given: dict[str, Any]) -> Answer:
        """Answer the API."""
        operations: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "CreateRepository": self._create,
            "DescribeRepositories": self._describe,
            "DescribeImages": self._images,
            "GetAuthorizationToken": lambda _: (200, {"authorizationData": [{"authorizationToken": self.login}]}),
            "BatchDeleteImage": self._delete_images,
            "DeleteRepository": self._delete,
        }
        named = given.get("repositoryNames") or [given.get("repositoryName")]
        if operation not in ("CreateRepository", "GetAuthorizationToken") and named[0] not in self.repositories:
            return _refused("RepositoryNotFoundException", f"The repository with name '{named[0]}' does not exist")
        with self.lock:
            return operations[operation](given)

    def _create(self, given: dict[str, Any]) -> Answer:
        name = given["repositoryName"]
        if name in self.repositories:
            return _refused("RepositoryAlreadyExistsException", f"The repository with name '{name}' already exists")
        self.repositories[name] = Repository()
        return 200, {"repository": self._described(name)}

    def _described(self, name: str) -> dict[str, Any]:
        return {"repositoryName": name, "repositoryUri": f"{self.address}/{name}"}

    def _describe(self, given: dict[str, Any]) -> Answer:
        return 200, {"repositories": [self._described(name) for name in given["repositoryNames"]]}

    def _images(self, given: dict[str, Any]) -> Answer:
        tag = given["imageIds"][0]["imageTag"]
        digest = self.repositories[given["repositoryName"]].tags.get(tag)
        if digest is None:
            return _refused("ImageNotFoundException", f"The image with imageId {{imageTag:'{tag}'}} does not exist")
        return 200, {"imageDetails": [{"imageDigest": digest, "imageTags": [tag]}]}

    def _delete_images(self, given: dict[str, Any]) -> Answer:
        repository = self.repositories[given["repositoryName"]]
        found, failures = [], []
        for one in given["imageIds"]:
            digest = repository.tags.pop(one["imageTag"], None)
            if digest is None:
                failures.append({"imageId": one, "failureCode": "ImageNotFound", "failureReason": "not found"})
                continue
            found.append({**one, "imageDigest": digest})
            if digest not in repository.tags.values():
                del repository.manifests[digest]
        return 200, {"imageIds": found, "failures": failures}

    def _delete(self, given: dict[str, Any]) -> Answer:
        name = given["repositoryName"]
        if self.repositories[name].manifests and not given.get("force"):
            return _refused("RepositoryNotEmptyException", f"The repository with name '{name}' still has images")
        del self.repositories[name]
        return 200, {}


def _refused(code: str, message: str) -> Answer:
    return 400, {"__type": code, "message": message}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    registry: Registry

    def _answer(self) -> None:
        body = b"".join(self._body())
        if self.headers.get("Authorization") != f"Basic {self.registry.login}":
            return self._error(401, "UNAUTHORIZED", "log in", {"WWW-Authenticate": 'Basic realm="ECR"'})
        address = urlsplit(self.path)
        found = _PLACE.fullmatch(address.path)
        if not found:
            return self._write(200, b"{}")
        repository = self.registry.repositories.get(found["name"])
        if repository is None:
            return self._error(404, "NAME_UNKNOWN", f"The repository with name '{found['name']}' does not exist")
        if self.command not in ("GET", "HEAD") and self.registry.refusal:
            return self._error(403, "DENIED", self.registry.refusal)
        if found["kind"] == "manifests":
            return self._manifest(repository, found["which"], body)
        return self._blob(found["name"], found["which"], parse_qs(address.query), body)

    def _body(self) -> Iterator[bytes]:
        """Yield what was sent, in chunks or at once."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline().strip(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _blob(self, name: str, which: str, query: dict[str, list[str]], body: bytes) -> None:
        """Show a blob, or take one: POST begins it, PATCH adds to it, PUT ends it with its digest."""
        if not which.startswith("uploads/"):
            return self._found(self.registry.blobs.get(which), which, "application/octet-stream")
        upload, uploads = which.removeprefix("uploads/"), self.registry.uploads
        if self.command == "POST":
            upload = secrets.token_hex(8)
        place = {"Location": f"/v2/{name}/blobs/uploads/{upload}", "Docker-Upload-UUID": upload}
        uploads[upload] = uploads.get(upload, b"") + body
        if self.command != "PUT":
            return self._write(202, b"", {**place, "Range": f"0-{max(0, len(uploads[upload]) - 1)}"})
        blob, digest = uploads.pop(upload), query["digest"][0]
        if _digest(blob) != digest:
            return self._error(400, "DIGEST_INVALID", f"{digest} is not what was sent")
        self.registry.blobs[digest] = blob
        return self._write(201, b"", {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})

    def _manifest(self, repository: Repository, which: str, body: bytes) -> None:
        if self.command != "PUT":
            digest = repository.tags.get(which, which)
            return self._found(repository.manifests.get(digest), digest, MANIFEST)
        written, digest = json.loads(body), _digest(body)
        wanted = [one["digest"] for one in (written["config"], *written["layers"])]
        missing = [digest for digest in wanted if digest not in self.registry.blobs]
        if missing:
            return self._error(400, "MANIFEST_BLOB_UNKNOWN", missing[0])
        with self.registry.lock:
            repository.manifests[digest] = body
            repository.tags[which] = digest
            self.registry.pushed.append(digest)
        return self._write(201, b"", {"Docker-Content-Digest": digest})

    def _found(self, content: bytes | None, digest: str, kind: str) -> None:
        if content is None:
            return self._error(404, "UNKNOWN", digest)
        return self._write(200, content, {"Docker-Content-Digest": digest, "Content-Type": kind})

    def _error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self._write(status, body, {"Content-Type": "application/json", **(headers or {})})

    def _write(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Docker-Distribution-Api-Version": "registry/2.0", **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_HEAD = do_PATCH = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Keep the tests' output quiet."""


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextlib.contextmanager
def running() -> Iterator[Registry]:
    """Run a registry without repositories."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        registry = Registry(f"127.0.0.1:{server.server_port}")
        server.RequestHandlerClass = type("Handler", (_Handler,), {"registry": registry})
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield registry
        finally:
            server.shutdown()


class Engine:
    """A container engine that has one image, of a few bytes, and really pushes it."""

    id = f"sha256:{'1' * 64}"

    def __init__(self) -> None:
        self.api = SimpleNamespace(tag=self._tag, push=self._push, remove_image=self._remove)
        self.tags: set[str] = set()

    def info(self) -> dict[str, str]:
        return {"Architecture": "x86_64"}

    def close(self) -> None: ...

    def _tag(self, image: str, uri: str, tag: str, *, force: bool) -> None:
        assert (image, force) == (self.id, True)
        self.tags.add(f"{uri}:{tag}")

    def _remove(self, name: str, *, noprune: bool) -> None:
        assert noprune
        self.tags.remove(name)

    def _push(self, uri: str, tag: str, *, auth_config: dict[str, str], **_: bool) -> Iterator[dict[str, Any]]:
        assert f"{uri}:{tag}" in self.tags
        address, _, name = uri.partition("/")
        login = base64.b64encode(f"{auth_config['username']}:{auth_config['password']}".encode()).decode()
        line = http.client.HTTPConnection(address, timeout=10)
        headers = {"Authorization": f"Basic {login}"}

        def ask(method: str, path: str, body: bytes = b"") -> dict[str, str]:
            line.request(method, path, body, headers)
            answer = line.getresponse()
            said = answer.read()
            if answer.status >= 400:
                error = json.loads(said)["errors"][0]
                raise ConnectionRefusedError(f"{error['code'].lower()}: {error['message']}")
            return {key.lower(): value for key, value in answer.getheaders()}

        parts = {"config": b"{}", "layer": b"a few bytes"}
        try:
            for content in parts.values():
                place = ask("POST", f"/v2/{name}/blobs/uploads/")["location"]
                ask("PATCH", place, content)
                ask("PUT", f"{place}?digest={_digest(content)}")
                done = {"current": len(content), "total": len(content)}
                yield {"id": _digest(content)[7:19], "status": "Pushing", "progressDetail": done}
            config, layer = ({"digest": _digest(part), "size": len(part)} for part in parts.values())
            manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
            ask("PUT", f"/v2/{name}/manifests/{tag}", json.dumps(manifest).encode())
        except ConnectionRefusedError as error:
            yield {"errorDetail": {"message": str(error)}, "error": str(error)}
        finally:
            line.close()
