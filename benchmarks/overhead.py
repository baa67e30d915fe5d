"""What the engine adds to the stages it runs, and what a container adds to the engine.

    python benchmarks/overhead.py [--recipe recipes/quickstart.yaml] [--set trainer.epochs=1] [--repeat 3] [--no-docker]

Three ways in turn, each a process of its own with a fresh store: the same stages called by hand in one Python script,
`embedrun run`, and `embedrun run --on docker` (built before, if it must be). Prints each one's best wall-clock seconds,
what each adds to the one before, and whether all three made the same model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def by_hand(recipe: str, settings: dict[str, Any], folder: Path) -> None:
    """Call a recipe's stages one after the other, as a script without an engine would; print the model's digest."""
    from embedrun.artifacts import Model
    from embedrun.context import Context
    from embedrun.execution import Loaded, Settings
    from embedrun.hashing import file_digest

    loaded = Loaded.read(recipe, settings)
    plan = loaded.plan(Settings(runs=folder))
    made = plan.recipe

    def context(name: str) -> Context:
        for part in ("out", "state"):
            (folder / name / part).mkdir(parents=True)
        return Context(out=folder / name / "out", state=folder / name / "state", seed=made.seed)

    base = Model(plan.base.path, made.model.settings)
    data = made.source.run(context("source"))
    [judge] = made.evaluator
    before = judge.run(context("base"), data, base)
    tuned = made.trainer.run(context("trainer"), data, base, made.loss, None)
    after = judge.run(context("tuned"), data, tuned)
    judge.compare(context("comparison"), {"base": before, "tuned": after})
    print(json.dumps({"model": file_digest(tuned.path / "model.safetensors")}))


def timed(words: list[str]) -> tuple[float, dict[str, Any]]:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{' '.join(words)}:\n{done.stderr}")
    return seconds, json.loads(done.stdout.strip().splitlines()[-1])


def model_of(outcome: dict[str, Any]) -> str:
    """Return the digest of the weights that a way made."""
    if "model" in outcome:
        return str(outcome["model"])
    from embedrun.hashing import file_digest
    from embedrun.record import RunRecord

    folder = RunRecord.read(Path(outcome["run"])).artifact("trainer")
    return file_digest(folder / "model.safetensors") if folder else "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default=str(ROOT / "recipes/quickstart.yaml"))
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-docker", action="store_true")
    parser.add_argument("--by-hand", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.by_hand:
        pairs = dict(text.split("=", 1) for text in arguments.settings)
        by_hand(arguments.recipe, pairs, arguments.by_hand)
        return
    changes = [word for text in arguments.settings for word in ("--set", text)]
    best: dict[str, float] = {}
    models: set[str] = set()
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(arguments.repeat):
            ways = {
                "by hand": [__file__, "--recipe", arguments.recipe, *changes, "--by-hand", f"{scratch}/hand-{number}"],
                "engine": ["-m", "embedrun", arguments.recipe, *changes, "--json", "--runs", f"{scratch}/run-{number}"],
            }
            if not arguments.no_docker:
                ways["container"] = [*ways["engine"][:-1], f"{scratch}/docker-{number}", "--on", "docker"]
            for way, words in ways.items():
                seconds, outcome = timed(words)
                best[way] = min(seconds, best.get(way, seconds))
                models.add(model_of(outcome))
                print(f"round {number + 1}, {way}: {seconds:.2f} s", flush=True)
    previous = None
    for way, seconds in best.items():
        added = f", {seconds - previous:+.2f} s ({seconds / previous - 1:+.1%})" if previous else ""
        print(f"{way}: {seconds:.2f} s{added}")
        previous = seconds
    print("the same model" if len(models) == 1 else f"DIFFERENT models: {sorted(models)}")


if __name__ == "__main__":
    main()
