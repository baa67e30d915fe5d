"""Whether a store that another version filled is a full hit for this one, with the same keys and digests.

    python benchmarks/store_compatibility.py CHECKOUT_OR_COMMIT [--recipe recipes/quickstart.yaml] [--set KEY=VALUE]

The other version, a folder with a checkout or a commit of this repository, runs the recipe with an empty store, using
the packages that are installed here; this version then runs it again with the same store. Prints every stage's key and
digest in both. The exit code is 1 where a stage was not reused or a digest differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def checked_out(name: str, scratch: Path) -> Iterator[Path]:
    """Yield the folder of a checkout, or of a commit for as long as it is needed."""
    if Path(name).is_dir():
        yield Path(name).resolve()
        return
    folder = scratch / "checkout"
    subprocess.run(["git", "worktree", "add", "--detach", str(folder), name], cwd=ROOT, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(folder)], cwd=ROOT, check=True)


def run(checkout: Path, words: list[str], scratch: Path, name: str) -> dict[str, Any]:
    """Run the recipe with a checkout's code; return the run's record."""
    runs = scratch / name
    path = os.pathsep.join(str(checkout / part) for part in ("core", "plugins"))
    command = [sys.executable, "-m", "embedrun", "run", *words, "--runs", str(runs), "--store", str(scratch / "store")]
    subprocess.run(command, cwd=checkout, env={**os.environ, "PYTHONPATH": path}, check=True)
    [record] = runs.glob("*/*/run.json")
    return dict(json.loads(record.read_text("utf-8")))


def compare(then: dict[str, Any], now: dict[str, Any]) -> bool:
    """Print the stages of both runs; return whether all are the same, and none ran again."""
    before, after = ({stage["slot"]: stage for stage in record["stages"]} for record in (then, now))
    same = before.keys() == after.keys()
    for slot, stage in after.items():
        other = before.get(slot, {})
        equal = stage["cached"] and all(stage[part] == other.get(part) for part in ("key", "digest"))
        same = same and equal
        word = "same" if equal else f"DIFFERENT (key {str(other.get('key'))[:12]}, digest {other.get('digest')})"
        print(f"{slot:45} key {stage['key'][:12]} digest {str(stage['digest'])[:12]} {word}")
    return same


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", metavar="CHECKOUT_OR_COMMIT")
    parser.add_argument("--recipe", default="recipes/quickstart.yaml", help="path below either checkout")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    words = [arguments.recipe, *(word for setting in arguments.set for word in ("--set", setting))]
    with tempfile.TemporaryDirectory() as folder, checked_out(arguments.other, Path(folder)) as checkout:
        then = run(checkout, words, Path(folder), "then")
        same = compare(then, run(ROOT, words, Path(folder), "now"))
    print("full hit" if same else "not compatible")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
