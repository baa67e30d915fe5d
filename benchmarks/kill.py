"""Kill a run at ten moments, training included; the same command must always end with the same model.

    python benchmarks/kill.py [--recipe recipes/quickstart.yaml] [--set trainer.epochs=2] [--moments 10]

An undisturbed run in a store of its own gives the digests and the time it takes. Then, in one other store, the run is
started and killed (SIGKILL to its process group) after a share of that time, ten times over different shares, each in
a fresh store, and the same command is given again without a kill.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def command(arguments: argparse.Namespace, folder: Path) -> list[str]:
    words = [sys.executable, "-m", "embedrun", "run", str(arguments.recipe), "--json", "--runs", str(folder)]
    return [*words, "--until", "trainer", *(word for text in arguments.settings for word in ("--set", text))]


def finish(arguments: argparse.Namespace, folder: Path) -> dict[str, str]:
    """Run to the end and return each stage's digest."""
    done = subprocess.run(command(arguments, folder), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the run failed:\n{done.stderr}")
    run = Path(json.loads(done.stdout.strip().splitlines()[-1])["run"])
    return {stage["slot"]: stage["digest"] for stage in json.loads((run / "run.json").read_text())["stages"]}


def kill(arguments: argparse.Namespace, folder: Path, seconds: float) -> str:
    """Start the run, kill it after a while, and say what it was doing."""
    process = subprocess.Popen(
        command(arguments, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    else:
        return "it had ended"
    checkpoints = sorted(path.name for path in folder.glob(".store/tmp/*/state/checkpoints/checkpoint-*"))
    return f"checkpoints then: {', '.join(checkpoints) or 'none'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes/quickstart.yaml")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--moments", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        started = time.monotonic()
        expected = finish(arguments, Path(scratch, "whole"))
        whole = time.monotonic() - started
        print(f"undisturbed: {whole:.1f} s, model {expected['trainer'][:16]}", flush=True)
        different = 0
        for moment in range(1, arguments.moments + 1):
            folder, after = Path(scratch, f"killed-{moment}"), whole * moment / (arguments.moments + 1)
            doing = kill(arguments, folder, after)
            found = finish(arguments, folder)
            different += found != expected
            same = "the same" if found == expected else f"DIFFERENT: {found}"
            print(f"killed after {after:5.1f} s ({doing}): {same}", flush=True)
    sys.exit(f"{different} of {arguments.moments} differ" if different else 0)


if __name__ == "__main__":
    main()
