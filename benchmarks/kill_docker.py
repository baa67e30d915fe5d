"""End a run in a container in four ways at five moments each; nothing may be left, and the next run must go on.

    python benchmarks/kill_docker.py [--recipe recipes/quickstart.yaml] [--set trainer.epochs=1]

The ways: the container is killed through the engine, the client is killed (SIGKILL), Ctrl-C, and no memory left (the
container's limit is lowered to what it uses). The moments, as stages that are done and seconds since: in the source, in
evaluating the base, at three times in training. An undisturbed run in a store of its own gives the digests. After each
end there must be no container with embedrun's label, no artifact without its manifest, and the same command must end
with the same results.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import docker

ROOT = Path(__file__).parents[1]
LABEL = "embedrun=run"
SETTLED = 90.0
"""Seconds within which everything must be gone."""


def command(arguments: argparse.Namespace, folder: Path) -> list[str]:
    words = [sys.executable, "-m", "embedrun", "run", str(arguments.recipe), "--json", "--runs", str(folder)]
    words += ["--on", "docker", "--set", "runtime.memory=4g"]
    return [*words, *(word for text in arguments.settings for word in ("--set", text))]


def finish(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run to the end and return how each stage went."""
    done = subprocess.run(command(arguments, folder), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the run failed:\n{done.stderr}")
    run = Path(json.loads(done.stdout.strip().splitlines()[-1])["run"])
    return {stage["slot"]: stage for stage in json.loads((run / "run.json").read_text())["stages"]}


def containers(client: docker.DockerClient) -> list[Any]:
    return list(client.containers.list(all=True, filters={"label": LABEL}))


def end(client: docker.DockerClient, process: subprocess.Popen[str], way: str) -> None:
    """End the run that a process has begun."""
    if way == "client killed":
        process.kill()
        return
    if way == "Ctrl-C":
        process.send_signal(signal.SIGINT)
        return
    for container in containers(client):
        with contextlib.suppress(docker.errors.APIError):  # it may have ended by itself
            if way == "container killed":
                container.kill()
            else:
                starve(container)


def starve(container: Any) -> None:
    """Lower the container's limit to little more than it uses now, and have it use more: the run is killed for it."""
    used = container.stats(stream=False)["memory_stats"].get("usage", 2**28)
    container.update(mem_limit=used + 2**25, memswap_limit=used + 2**25)
    container.exec_run(["python3", "-c", "a = [bytearray(2**20) for _ in range(4096)]"])


def reached(client: docker.DockerClient, process: subprocess.Popen[str], folder: Path, stages: int) -> None:
    """Wait until the container runs and so many of its stages are done, or until there is nothing to wait for."""
    while process.poll() is None:
        records = [json.loads(file.read_text()) for file in folder.glob("*/*/run.json")]
        done = max((len(record["stages"]) for record in records), default=-1)
        if done >= stages and any(container.status == "running" for container in containers(client)):
            return
        time.sleep(0.02)


def disturbed(arguments: argparse.Namespace, folder: Path, way: str, moment: str) -> str:
    """Begin the run, end it at a moment, and return what it said last."""
    stages, seconds = moment.split(":")
    with contextlib.closing(docker.from_env()) as client:
        # A shell's background jobs ignore SIGINT, and so would this one's children.
        process = subprocess.Popen(
            command(arguments, folder),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,  # noqa: PLW1509
        )
        reached(client, process, folder, int(stages))
        time.sleep(float(seconds))
        end(client, process, way)
    said = process.communicate()[1].strip().splitlines()
    return next((line for line in reversed(said) if not line.startswith(("run:", "report:"))), "nothing")


def left(folder: Path, way: str) -> list[str]:
    """Return what must not be there, given time to go."""
    client = docker.from_env()
    deadline = time.monotonic() + SETTLED
    while containers(client) and time.monotonic() < deadline:
        time.sleep(0.5)
    found = [f"container {container.name} ({container.status})" for container in containers(client)]
    folders = folder.glob(".store/??/*")
    found += [f"half an artifact: {path}" for path in folders if not (path / "manifest.json").exists()]
    for file in folder.glob("*/*/run.json"):
        status = json.loads(file.read_text())["status"]
        if status == "running" and way != "client killed":
            found.append(f"a record that still runs: {file}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes/quickstart.yaml")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--moments", nargs="+", default=["0:0", "1:0.3", "2:0.5", "2:2", "2:4"], help="stages:seconds")
    parser.add_argument("--ways", nargs="+", default=["container killed", "client killed", "Ctrl-C", "out of memory"])
    arguments = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        expected = {slot: stage["digest"] for slot, stage in finish(arguments, Path(scratch, "whole")).items()}
        print(f"undisturbed: model {expected['trainer'][:16]}", flush=True)
        for way in arguments.ways:
            for moment in arguments.moments:
                folder = Path(scratch, f"{way}-{moment}".replace(" ", "-").replace(":", "-"))
                said = disturbed(arguments, folder, way, moment)
                remains = left(folder, way)
                stages = finish(arguments, folder)
                found = {slot: stage["digest"] for slot, stage in stages.items()}
                reused = [slot for slot, stage in stages.items() if stage["cached"]]
                bad += bool(remains) or found != expected
                result = "the same results" if found == expected else f"DIFFERENT: {found}"
                print(
                    f"{way} at {moment}: left {remains or 'nothing'}, reused {len(reused)}, {result}: {said}",
                    flush=True,
                )
    sys.exit(f"{bad} went wrong" if bad else 0)


if __name__ == "__main__":
    main()
