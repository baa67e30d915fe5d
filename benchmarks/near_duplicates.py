"""Find near duplicates among passages: embedrun's `clusters` against datasketch's MinHash and MinHashLSH.

    python benchmarks/near_duplicates.py
    python benchmarks/near_duplicates.py --passages 20000 --sides embedrun datasketch   # pip install datasketch

One passage in ten is an earlier one without its first word and with another at the end. Both sides take runs of five
letters, 64 permutations and a threshold of 0.9, each in a process of its own; memory is the process's peak beyond what
it held with the texts made. `kept` counts the texts without an earlier twin: nine in ten, if all twins are found.
embedrun also compares every pair that it reports exactly, which MinHashLSH leaves to its caller.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time

from embedrun_plugins.services.machine import peak_memory
from embedrun_plugins.stages.texts.keys import bare
from embedrun_plugins.stages.texts.near_duplicates import PERMUTATIONS, RUN, THRESHOLD, clusters

WORDS = 80


def passages(count: int) -> list[str]:
    """Return texts of about 520 characters."""
    chance = random.Random(0)
    vocabulary = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(20_000)]
    texts: list[str] = []
    for number in range(count):
        words = chance.choices(vocabulary, k=WORDS)
        if number % 10 == 9:
            words = [*texts[chance.randrange(number)].split()[1:], words[0]]
        texts.append(" ".join(words))
    return texts


def with_embedrun(texts: list[str]) -> int:
    return len(set(clusters(texts).tolist()))


def with_datasketch(texts: list[str]) -> int:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    clear = 0
    for place, text in enumerate(texts):
        letters = bare(text)
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch({letters[at : at + RUN].encode() for at in range(len(letters) - RUN + 1)})
        clear += not index.query(sketch)
        index.insert(place, sketch)
    return clear


SIDES = {"embedrun": with_embedrun, "datasketch": with_datasketch}


def measure(side: str, count: int) -> None:
    texts = passages(count)
    with peak_memory() as peak:
        before, started = peak() or 0, time.perf_counter()
        found = SIDES[side](texts)
        seconds, memory = time.perf_counter() - started, ((peak() or 0) - before) / 2**20
    print(
        json.dumps({"side": side, "passages": count, "seconds": round(seconds, 1), "mib": round(memory), "kept": found})
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=300_000)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=["embedrun"])
    parser.add_argument("--measure", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.passages)
        return
    for side in arguments.sides:
        command = [sys.executable, __file__, "--passages", str(arguments.passages), "--measure", side]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
