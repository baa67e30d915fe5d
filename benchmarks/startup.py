"""How long the command line takes to start, against another checkout: `python benchmarks/startup.py OLD`.

Runs of the two alternate; each is a fresh process with its bytecode in place. OLD is a folder with another commit of
this repository; both use this interpreter's packages. Prints a table of medians in Markdown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

NEW = Path(__file__).resolve().parents[1]
RECIPE = str(NEW / "recipes/quickstart.yaml")
COMMANDS = {
    "`embedrun --help`": ["--help"],
    "`embedrun check recipes/quickstart.yaml`": ["check", RECIPE],
    "a re-run in which every result is reused": ["run", RECIPE, "--offline"],
}
BOUNDS = dict(zip(COMMANDS, ("1/4", "1/3", "1/3"), strict=True))


def seconds(checkout: Path, words: list[str], folder: Path) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPATH": f"{checkout / 'core'}{os.pathsep}{checkout / 'plugins'}"}
    started = time.perf_counter()
    command = [sys.executable, "-m", "embedrun", *words]
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path, help="folder of the other checkout")
    parser.add_argument("--runs", type=int, default=20, help="of each command with each checkout (20)")
    parser.add_argument("--store", type=Path, help="store that holds the recipe's results; by default a new one")
    arguments = parser.parse_args()
    checkouts = (arguments.old.resolve(), NEW)
    print("| command | before | now | ratio | bound |\n|---|---|---|---|---|")
    with TemporaryDirectory() as name:
        folder = Path(name)
        store = ["--store", str((arguments.store or folder / "store").resolve())]
        for command, words in COMMANDS.items():
            line = [*words, *store] if words[0] == "run" else words
            for checkout in checkouts:
                seconds(checkout, line, folder)  # writes the bytecode, and fills the store
            times = [[seconds(checkout, line, folder) for checkout in checkouts] for _ in range(arguments.runs)]
            before, now = (statistics.median(column) for column in zip(*times, strict=True))
            print(f"| {command} | {before:.3f} s | {now:.3f} s | {now / before:.3f} | {BOUNDS[command]} |", flush=True)


if __name__ == "__main__":
    main()
