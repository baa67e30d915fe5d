"""Kill runs at random moments; the same command must always end with the same digests.

    python benchmarks/kill.py [--kills 100] [--seed 0] [--kind training …] [--write]

Six kinds of recipe, each with a small random model. For each, an undisturbed run in a store of its own gives the
digests of all stages and the time that it takes. Then, in one new store after another, the command is started and
killed (SIGKILL to its process group) at one to three random moments of that time, and is given again without a kill.
The kind `shared` starts two different recipes at once on one store, and kills either. For `generation` the language
model's server counts: an answer that was received is never asked for again, so that what is asked twice are requests
under way at a kill. Prints a table in Markdown; `--write` puts it into results/kill.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results/kill.md"
HANDBOOK = ROOT / "recipes/data/handbook"
CONCURRENCY = 4
"""Requests to the language model that are under way at once."""
_TRAINER = """
trainer:
  type: sentence_transformers
  max_steps: 12
  batch_size: 16
  save_strategy: steps
  save_steps: 3
  save_min_seconds: 0
"""
_PAIRS = f"source: {{type: pairs, path: {HANDBOOK}.jsonl, holdout: 0.5}}\nevaluator: information_retrieval\n"
_DOCUMENTS = f"source: {{type: documents, path: {HANDBOOK}.md, size: 60, overlap: 0, holdout: 0.3}}\n"
RECIPES = {
    "training": _PAIRS + "loss: multiple_negatives_ranking" + _TRAINER,
    "generation": _DOCUMENTS
    + f"generator: {{type: openai, base_url: URL, model: any, concurrency: {CONCURRENCY}}}\n"
    + "filters: [duplicates]\nloss: multiple_negatives_ranking"
    + _TRAINER,
    "mining": _PAIRS
    + "negatives: {type: dense, range: [3, 30], per_query: 2}\nloss: {type: info_nce, temperature: 0.05}\n"
    + "trainer: {type: flag_embedding, epochs: 1, batch_size: 32, train_group_size: 2}\n",
    "offline": _DOCUMENTS
    + "generator: crop\nfilters: [duplicates, leakage, {type: round_trip, k: 50}]\n"
    + "loss: {type: matryoshka, inner: multiple_negatives_ranking, dims: [32, 16]}\nevaluator: information_retrieval"
    + _TRAINER,
    "merge": _PAIRS
    + "loss: multiple_negatives_ranking\nmerge: {type: linear, base: 0.5, tuned: 0.5}\n"
    + "deployer: {type: directory, path: deployed}"
    + _TRAINER,
    "shared": _PAIRS + "negatives: {type: bm25, range: [3, 30], per_query: 1}\nloss: triplet" + _TRAINER,
}
PARTNER = "training"
"""The recipe that runs beside `shared` on the same store: source and evaluation of the base model are the same work."""


@dataclass
class Tally:
    """What became of one kind's kills."""

    seconds: float
    kills: int = 0
    stores: int = 0
    different: list[str] = field(default_factory=list)
    slots: dict[str, str] = field(default_factory=dict)
    """Stages by the key of their result."""
    doing: dict[str, int] = field(default_factory=dict)
    """Kills by the stage that was being made."""
    repeated: int = 0
    """Requests to the language model beyond those of the undisturbed run."""
    allowed: int = 0
    """How many could have been under way at the kills."""


class Bench:
    """The recipes in a folder, with a model and a language model's server."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        for name, stages in RECIPES.items():
            text = f"name: {name}\nmodel: {folder / 'model'}\n{stages}".replace("URL", f"{url}/v1")
            (folder / f"{name}.yaml").write_text(text, "utf-8")

    def start(self, kind: str, place: Path) -> subprocess.Popen[str]:
        """Start a recipe with its store in `place`."""
        words = [sys.executable, "-m", "embedrun", "run", str(self.folder / f"{kind}.yaml"), "--json", "--offline"]
        words += ["--runs", str(place / "runs"), "--store", str(place / "store"), "--set", "deployer=[]"]
        if kind == "merge":
            words[-2:] = ["--set", f"deployer.path={place / 'deployed'}"]
        pipe = subprocess.PIPE
        return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, start_new_session=True, env=environment())

    def finish(self, kind: str, place: Path) -> dict[str, str]:
        """Run a recipe to its end and return each stage's digest."""
        return digests(self.start(kind, place))

    def asked(self) -> int:
        """Return how many requests the language model's server had."""
        return int((self.folder / "asked").stat().st_size)


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENAI_API_KEY": "none"}


def digests(process: subprocess.Popen[str]) -> dict[str, str]:
    """Wait for a run and return each stage's digest."""
    out, errors = process.communicate(timeout=600)
    if process.returncode:
        return {"failed": errors[-2000:]}
    run = Path(json.loads(out.strip().splitlines()[-1])["run"])
    return {stage["slot"]: stage["digest"] for stage in json.loads((run / "run.json").read_text("utf-8"))["stages"]}


def newest_record(place: Path) -> dict[str, Any]:
    """Return run.json of the run that began last."""
    records = sorted(place.glob("runs/*/*/run.json"), key=lambda path: path.stat().st_mtime)
    return dict(json.loads(records[-1].read_text("utf-8"))) if records else {}


def kill(processes: list[subprocess.Popen[str]], seconds: float, chosen: random.Random) -> bool:
    """Kill one of the processes, or all, after a while; return whether one was alive."""
    time.sleep(seconds)
    doomed = processes if chosen.random() < 0.5 else [chosen.choice(processes)]
    alive = [process for process in doomed if process.poll() is None]
    for process in alive:
        os.killpg(process.pid, signal.SIGKILL)
    for process in alive:
        process.communicate()
    return bool(alive)


def disturb(bench: Bench, kind: str, place: Path, tally: Tally, chosen: random.Random, most: int) -> None:
    """Kill a kind's command at up to three moments in one store."""
    for _ in range(min(most, chosen.randint(1, 3))):
        kinds = [kind, PARTNER] if kind == "shared" else [kind]
        processes = [bench.start(name, place) for name in kinds]
        if kill(processes, chosen.uniform(0.2, tally.seconds), chosen):
            tally.kills += 1
            doing = tally.slots.get(newest_record(place).get("making") or "", "before or between stages")
            tally.doing[doing] = tally.doing.get(doing, 0) + 1
            tally.allowed += CONCURRENCY
        for process in processes:
            if process.poll() is None:
                digests(process)


def measure(bench: Bench, kind: str, kills: int, chosen: random.Random) -> Tally:
    with tempfile.TemporaryDirectory(dir=bench.folder) as name:
        started, before = time.monotonic(), bench.asked()
        expected = {kind: bench.finish(kind, Path(name)) for kind in {kind, PARTNER if kind == "shared" else kind}}
        tally, needed = Tally((time.monotonic() - started) / len(expected)), bench.asked() - before
        for record in Path(name).glob("runs/*/*/run.json"):
            tally.slots |= {s["key"]: s["slot"] for s in json.loads(record.read_text("utf-8"))["stages"]}
    failed = [digest["failed"] for digest in expected.values() if "failed" in digest]
    if failed:
        sys.exit(f"{kind}: the undisturbed run failed:\n{failed[0]}")
    while tally.kills < kills:
        with tempfile.TemporaryDirectory(dir=bench.folder) as name:
            place, before = Path(name), bench.asked()
            disturb(bench, kind, place, tally, chosen, kills - tally.kills)
            for one_kind, digest in expected.items():
                result = bench.finish(one_kind, place)
                if result != digest:
                    tally.different.append(f"{one_kind}: {result} instead of {digest}")
            tally.repeated += bench.asked() - before - needed
            tally.stores += 1
    return tally


@contextmanager
def language_model(folder: Path) -> Iterator[str]:
    """Start the tests' stand-in, in a process that writes a byte into `asked` for each request."""
    program = f"""
import sys, threading
sys.path.insert(0, {str(ROOT / "tests")!r})
import fake_llm
from fake_services import serving

class Counting(fake_llm.FakeModel):
    def text(self, *words, **more):
        with open({str(folder / "asked")!r}, "ab") as stream:
            stream.write(b".")
        return super().text(*words, **more)

with serving(*fake_llm.routes(Counting(seconds=0.05))) as services:
    print(services.url, flush=True)
    threading.Event().wait()
"""
    (folder / "asked").write_bytes(b"")
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.kill()
        process.wait()


def table(tallies: dict[str, Tally]) -> str:
    lines = ["| kind | undisturbed | kills | stores | different digests | asked again (at most) | killed during |"]
    lines.append("|---|---|---|---|---|---|---|")
    for kind, tally in tallies.items():
        doing = ", ".join(f"{name} {count}" for name, count in sorted(tally.doing.items(), key=lambda item: -item[1]))
        repeated = f"{tally.repeated} ({tally.allowed})" if kind == "generation" else ""
        numbers = f"{tally.seconds:.1f} s | {tally.kills} | {tally.stores} | {len(tally.different)}"
        lines.append(f"| {kind} | {numbers} | {repeated} | {doing} |")
    total = sum(tally.kills for tally in tallies.values())
    return "\n".join([*lines, "", f"{total} kills, {sum(len(t.different) for t in tallies.values())} different."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", action="append", choices=sorted(RECIPES), help="by default all")
    parser.add_argument("--kills", type=int, default=100, help="in all (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--write", action="store_true", help="put the table into results/kill.md")
    arguments = parser.parse_args()
    chosen, kinds = random.Random(arguments.seed), arguments.kind or list(RECIPES)
    tallies = {}
    with tempfile.TemporaryDirectory() as name, language_model(Path(name)) as url:
        folder = Path(name)
        from embedrun.testing import tiny_model

        tiny_model(folder / "model")
        bench = Bench(folder, url)
        for number, kind in enumerate(kinds):
            share = (arguments.kills - sum(t.kills for t in tallies.values())) // (len(kinds) - number)
            tallies[kind] = measure(bench, kind, share, chosen)
            print(table({kind: tallies[kind]}), *tallies[kind].different, sep="\n", flush=True)
    shown = table(tallies)
    print(shown)
    if arguments.write:
        head = RESULTS.read_text("utf-8").partition("\n| kind")[0]
        RESULTS.write_text(f"{head}\n{shown}\n", "utf-8")
    sys.exit(1 if any(tally.different for tally in tallies.values()) else 0)


if __name__ == "__main__":
    main()
