"""Change what users and strangers bring at random, and see that it ends in an answer or an explained refusal.

    python benchmarks/fuzz.py [--minutes 10] [--seed 0] [--kind recipes …] [--write]

Seven kinds take turns: recipes, files of rows and documents, archives, folders of models (which are loaded, too), what
the store and the runs hold, bodies of requests to the server, and answers of a language model's server. Each case is a
file of `tests/mutation_samples.py` changed by `tests/mutations.py`, and follows from its seed. A case is bad where an
exception is not explained, where it takes longer than the limit, where a file outside the folder that it was given is
new or another, where a result is half-made, or where the server answers with 500, does not answer, or is not healthy
afterwards. Prints a table in Markdown, and every bad case with its seed; `--write` puts the table into results/fuzz.md.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import mutation_samples  # noqa: E402
from embedrun import Context, EmbedrunError, Model, ModelSettings  # noqa: E402
from embedrun.cli import main as embedrun  # noqa: E402
from embedrun.store import Store  # noqa: E402
from embedrun.testing import tiny_model  # noqa: E402
from embedrun_plugins.models import load, model_faults  # noqa: E402
from embedrun_plugins.services.sagemaker.container.archives import unpack_file  # noqa: E402
from embedrun_plugins.stages.sources.pairs import Pairs  # noqa: E402
from embedrun_plugins.stages.sources.readers import ReadingOptions  # noqa: E402
from embedrun_plugins.stages.sources.readers.open_document import read  # noqa: E402
from fake_services import serving  # noqa: E402
from mutations import mutated  # noqa: E402

RESULTS = Path(__file__).parent / "results/fuzz.md"
LIMIT = 30
"""Seconds that a case may take."""
GENERATING = """model: tiny
source: {type: documents, path: docs, holdout: 0.2}
generator: {type: openai, model: any, base_url: %s/v1, budget_calls: 20, attempts: 1}
evaluator: information_retrieval
"""
BODIES = (
    ("/embed", b'{"inputs": ["where is the lamp?", "here"], "truncate": true, "prompt_name": null}'),
    ("/v1/embeddings", b'{"input": ["where is the lamp?"], "model": "tiny", "encoding_format": "float"}'),
    ("/similarity", b'{"inputs": {"source_sentence": "a lamp", "sentences": ["a room", "a river"]}}'),
    ("/tokenize", b'{"inputs": "where is the lamp?", "add_special_tokens": true}'),
)
CHAT = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "any",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "1. Where is the lamp?"}}
    ],
    "usage": {"prompt_tokens": 40, "completion_tokens": 12, "total_tokens": 52},
}


class BadError(Exception):
    """A case that ended as none may."""


class LateError(BaseException):
    """Passes every handler of the program under test."""


@dataclass
class Fuzzing:
    """A folder of whole things, and what came of the cases."""

    folder: Path
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)
    server: Server | None = None

    def __post_init__(self) -> None:
        self.rows, self.documents = mutation_samples.rows(), mutation_samples.documents()
        self.recipes = mutation_samples.recipe_files()
        self.model = tiny_model(self.folder / "tiny").path
        shutil.rmtree(self.folder / "tiny-plain", ignore_errors=True)
        self.jsons = mutation_samples.json_files(self.model)
        self.archive = self._archive()
        self._make_run()

    def _archive(self) -> bytes:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            archive.add(self.model, "store/model")
        return content.getvalue()

    def _make_run(self) -> None:
        """Leave a finished run in `kept`, to be copied and damaged."""
        folder = self.folder / "project"
        folder.mkdir()
        (folder / "rows.jsonl").write_bytes(self.rows["rows.jsonl"])
        (folder / "r.yaml").write_text(
            f"model: {self.model}\nsource: {{type: pairs, path: rows.jsonl, holdout: 0.3}}\n"
            "evaluator: information_retrieval\ndeployer: {type: directory, path: deployed}\n"
        )
        with contextlib.chdir(folder):
            assert command("r.yaml", "--offline") == "done"

    # The kinds: each makes one case in an empty folder and says how it ended.

    def recipes_case(self, seed: int, folder: Path) -> str:
        name = random.Random(seed).choice(sorted(self.recipes))
        (folder / "r.yaml").write_bytes(mutated(self.recipes[name], seed))
        return command("check", "r.yaml")

    def data_case(self, seed: int, folder: Path) -> str:
        files = {**self.rows, **self.documents}
        name = random.Random(seed).choice(sorted(files))
        file, out, state = folder / name, folder / "out", folder / "state"
        file.write_bytes(mutated(files[name], seed))
        out.mkdir()
        if name in self.documents:
            return explained(lambda: read(file, ReadingOptions(), lambda _: None))
        source = Pairs(path=file)
        return explained(lambda: list(source.faults()) or source.run(Context(out, state)).documents)

    def archives_case(self, seed: int, folder: Path) -> str:
        (folder / "archive.tar.gz").write_bytes(mutated(self.archive, seed))
        plain = folder / "archive.tar"
        if seed % 2:  # behind the checksum of gzip
            import gzip

            plain.write_bytes(mutated(gzip.decompress(self.archive), seed))
        try:
            unpack_file(plain if seed % 2 else folder / "archive.tar.gz", folder / "unpacked")
        except (tarfile.TarError, EOFError, OSError):
            return "refused"
        else:
            return "done"

    def models_case(self, seed: int, folder: Path) -> str:
        name = random.Random(seed).choice(sorted(self.jsons))
        shutil.copytree(self.model, folder / "model")
        (folder / "model" / name).write_bytes(mutated(self.jsons[name], seed))
        model = Model(folder / "model")
        if model_faults.faults(model):
            return "refused"
        return explained(lambda: load.load(model.path, ModelSettings()).encode(["where is the lamp?"]))

    def store_case(self, seed: int, folder: Path) -> str:
        shutil.copytree(self.folder / "project", folder / "project")
        chance = random.Random(seed)
        runs = folder / "project/runs"
        patterns = (
            "r/*/*.json",
            "r/*/deployments/*/*.json",
            ".store/??/*/manifest.json",
            ".store/*.json",
            ".store/runs/*",
        )
        file = chance.choice(sorted(itertools.chain(*(runs.glob(pattern) for pattern in patterns))))
        file.write_bytes(mutated(file.read_bytes(), seed))
        with contextlib.chdir(folder / "project"):
            outcome = command(
                *chance.choice((["show", "r"], ["delete", "r"], ["gc"], ["r.yaml", "--offline"], ["verify", "r"]))
            )
        for manifest in runs.glob(".store/??/*/manifest.json"):
            if outcome == "done" and Store(runs / ".store").get(manifest.parent.name) is None and manifest != file:
                raise BadError("a result is half-made")
        return outcome

    def bodies_case(self, seed: int, _: Path) -> str:
        path, body = random.Random(seed).choice(BODIES)
        server = self.server
        if server is None:
            raise BadError("there is no server")
        headers = {"content-type": "application/json"}
        status = asked(server.port, "POST", path, mutated(body, seed), headers)
        if status >= 500 or asked(server.port, "GET", "/health") != 200 or server.process.poll() is not None:
            raise BadError(f"{path}: {status}")
        if "Traceback" in server.log.read_text("utf-8", "replace"):
            raise BadError(f"{path}: a traceback in the server's log")
        return "done" if status == 200 else "refused"

    def answers_case(self, seed: int, folder: Path) -> str:
        (folder / "docs").mkdir()
        (folder / "tiny").symlink_to(self.model)
        for number, paragraph in enumerate(self.documents["lamps.txt"].split(b"\n\n")):
            (folder / f"docs/{number}.txt").write_bytes(paragraph)
        answer = mutated(json.dumps(CHAT).encode(), seed)
        status = random.Random(seed).choice((200, 200, 200, 200, 400, 500, 204, 302, 999))
        with serving(
            (r"/v1/chat/completions", lambda *_: (status, {"content-type": "application/json"}, answer))
        ) as llm:
            (folder / "r.yaml").write_text(GENERATING % llm.url)
            return command("r.yaml", "--until", "generator", "--offline")


@dataclass
class Server:
    """The server in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path


@contextlib.contextmanager
def started(model: Path, folder: Path) -> Iterator[Server]:
    log, url = folder / "server.log", folder / "url"
    words = [sys.executable, "-m", "embedrun_plugins.models.serving", str(model), "--port", "0", "--url-file", str(url)]
    with log.open("wb") as stream:
        process = subprocess.Popen(words, stdout=stream, stderr=stream)
    try:
        while not url.exists():
            if process.poll() is not None:
                raise BadError(log.read_text())
            time.sleep(0.2)
        yield Server(process, int(url.read_text().rpartition(":")[2]), log)
    finally:
        process.terminate()
        try:
            process.wait(2 * LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            print(f"the server did not end within {2 * LIMIT} s of SIGTERM")


def asked(port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise BadError(f"{path}: no answer ({error!r})") from error
    else:
        return answer.status
    finally:
        connection.close()


def command(*words: str) -> str:
    """Run a command in this process; what it prints is kept from the terminal."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = embedrun(list(words))
        except SystemExit as stopped:
            code = int(stopped.code or 0)
    if (
        code not in (0, 1, 2)
        or "Traceback" in err.getvalue()
        or (code and not (err.getvalue() + out.getvalue()).strip())
    ):
        raise BadError(f"{words}: exit {code}: {err.getvalue()[-300:]}")
    for log in Path("runs").glob("*/*/log.jsonl"):
        if log.is_file() and '"event": "traceback"' in log.read_text("utf-8", "replace"):
            line = next(line for line in log.read_text("utf-8", "replace").splitlines() if '"traceback"' in line)
            raise BadError(f"{words}: a traceback in the run's log: {line[-300:]}")
    return "refused" if code else "done"


def explained(action: Callable[[], object]) -> str:
    try:
        result = action()
    except EmbedrunError:
        return "refused"
    return "refused" if isinstance(result, list) and result and isinstance(result[0], str) else "done"


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file around a case's own folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def _untouched(around: Path) -> None:
    names = {path.name for path in around.iterdir()}
    if names != {"case", "victim"} or (around / "victim").read_text() != "precious":
        raise BadError(f"files outside of the folder: {names}")


# The stand-in's own trouble with a connection that was broken off is nobody's fault.
ThreadingHTTPServer.handle_error = lambda *_: None  # type: ignore[method-assign]


def _late(*_: object) -> None:
    raise LateError


def tried(fuzzing: Fuzzing, kind: str, seed: int) -> None:
    """Try one case, and count how it ended."""
    folder = fuzzing.folder / "around" / "case"
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder.parent / "victim").write_text("precious")
    before = listing(fuzzing.folder / "project/runs")
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(LIMIT)
    try:
        with contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()):
            outcome = getattr(fuzzing, f"{kind}_case")(seed, folder)
        _untouched(folder.parent)
        if listing(fuzzing.folder / "project/runs") != before:
            fuzzing.bad.append(f"{kind} {seed}: another project's files are changed")
    except LateError:
        outcome = "hang"
        fuzzing.bad.append(f"{kind} {seed}: takes more than {LIMIT} s")
    except BadError as error:
        outcome = "bad"
        fuzzing.bad.append(f"{kind} {seed}: {error}")
    except Exception as error:  # noqa: BLE001  # that is what is looked for
        outcome = "traceback"
        last = traceback.extract_tb(error.__traceback__)[-1]
        fuzzing.bad.append(f"{kind} {seed}: {type(error).__name__}: {str(error)[:200]} ({last.filename}:{last.lineno})")
    finally:
        signal.alarm(0)
    fuzzing.counts.setdefault(kind, Counter())[outcome] += 1


KINDS = ("recipes", "data", "archives", "models", "store", "bodies", "answers")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--write", action="store_true", help="put the table into results/fuzz.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fuzzing = Fuzzing(Path(folder))
        with started(fuzzing.model, Path(folder)) as server:
            fuzzing.server = server
            begun, seeds = time.monotonic(), itertools.count(arguments.seed)
            while time.monotonic() - begun < arguments.minutes * 60:
                seed = next(seeds)
                for kind in arguments.kind or KINDS:
                    tried(fuzzing, kind, seed)
            minutes = (time.monotonic() - begun) / 60
    told = "\n".join([*table(fuzzing, arguments.seed, minutes), "", *fuzzing.bad])
    print(told)
    if arguments.write:
        RESULTS.write_text(f"# Changed at random\n\n{told.rstrip()}\n", "utf-8")
    return bool(fuzzing.bad)


def table(fuzzing: Fuzzing, seed: int, minutes: float) -> Iterator[str]:
    today = time.strftime("%d %B %Y")
    yield f"`python benchmarks/fuzz.py --minutes {minutes:.0f} --seed {seed}`, {today}, one process."
    yield "Each case is a whole file with one to four changes, or a JSON value of it replaced."
    yield ""
    yield "| kind | cases | accepted | refused with a reason | traceback | longer than 30 s | other faults |"
    yield "|---|---|---|---|---|---|---|"
    for kind, counts in fuzzing.counts.items():
        figures = [counts.total(), *(counts[name] for name in ("done", "refused", "traceback", "hang", "bad"))]
        yield f"| {kind} | {' | '.join(f'{figure:,}' for figure in figures)} |"


if __name__ == "__main__":
    sys.exit(main())
