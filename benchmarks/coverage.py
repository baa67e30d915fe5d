"""How often a 95% interval of the difference of two models holds the truth, and how often a verdict is wrong.

    python benchmarks/coverage.py [--sets 8000] [--resampled 1000] [--write benchmarks/results/coverage.md]

Draws sets of differences whose true mean is known: 10 to 2,000 queries in units of 1 to 20, which rise and fall
together with a given correlation. In each cell of metric, units, sizes and correlation it counts how often the interval
holds the truth, and how often "better" is said of no gain and "worse" of no loss: by what was used before (percentile
bootstrap over queries), by what is used now (`results/intervals.py`), and by what could have been. Takes a few minutes
on one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from interval_candidates import Ends, before, bootstraps, now, t_interval, wilson
from synthetic_differences import METRICS, Design, Drawn, designs, draw

from embedrun_plugins.results.intervals import share_interval

BATCH = 2_000_000
"""Values drawn at once: bounds memory."""
STRICT_UNITS = 30
LEAST, MOST = 0.94, 0.96
ERRORS = 2.0
"""Standard errors that a share counted in so many sets may lie off."""
FALSE = 0.025


@dataclass
class Count:
    """What happened to one method in one cell."""

    sets: int = 0
    held: int = 0
    better: int = 0
    worse: int = 0

    def add(self, ends: Ends, truth: float) -> None:
        low, high, judged = ends
        self.sets += len(low)
        self.held += int(((low <= truth + 1e-9) & (high >= truth - 1e-9)).sum())
        self.better += int(((low > 1e-9) & judged).sum())
        self.worse += int(((high < -1e-9) & judged).sum())

    @property
    def coverage(self) -> float:
        return self.held / self.sets

    def false_better(self, truth: float) -> float | None:
        """Return how often a gain was claimed where there is none; None where there is one."""
        return self.better / self.sets if truth <= 0 else None

    def false_worse(self, truth: float) -> float | None:
        return self.worse / self.sets if truth >= 0 else None


@dataclass
class Cell:
    metric: str
    design: Design
    differing: float = 0.0
    """Mean units that differ from 0."""
    carrying: float = 0.0
    """Mean of how many equal units would carry the spread: (sum of squares)² / sum of fourth powers."""
    counts: dict[str, Count] = field(default_factory=dict)

    @property
    def truth(self) -> float:
        return round(float(np.dot(*METRICS[self.metric])), 9)

    def measure(self, sets: int, resampled: int, rng: np.random.Generator) -> None:
        largest = self.design.size or 20
        batch = max(1, BATCH // (self.design.units * largest))
        done = 0
        while done < sets:
            drawn = draw(self.metric, self.design, min(batch, sets - done), rng)
            self._add("now", now(drawn))
            self._add("t over units", t_interval(drawn))
            self._describe(drawn, sets)
            if (some := min(len(drawn.sums), resampled - done)) > 0:
                part = Drawn(drawn.values[:some], drawn.sizes[:some])
                self._add("before", before(part))
                for name, ends in bootstraps(part).items():
                    self._add(name, ends)
            done += len(drawn.sums)

    def _add(self, method: str, ends: Ends) -> None:
        self.counts.setdefault(method, Count()).add(ends, self.truth)

    def _describe(self, drawn: Drawn, sets: int) -> None:
        sums = drawn.sums
        away = sums - drawn.sizes * (sums.sum(1) / drawn.sizes.sum(1))[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            carrying = np.nan_to_num((away**2).sum(1) ** 2 / (away**4).sum(1))
        self.differing += float(np.count_nonzero(sums, axis=1).sum()) / sets
        self.carrying += float(carrying.sum()) / sets

    def judged(self) -> str:
        """Say whether the coverage is what it should be, within its own sampling error."""
        count = self.counts["now"]
        room = ERRORS * (count.coverage * (1 - count.coverage) / count.sets) ** 0.5
        if count.coverage < LEAST - room:
            return "too low"
        return "conservative" if count.coverage > MOST + room else "94–96%"  # noqa: RUF001 - a range

    def row(self) -> list[str]:
        new, old = self.counts["now"], self.counts["before"]
        names = [self.metric, f"{self.design.units:,}", self.design.sizes, f"{self.design.correlation:g}"]
        numbers = [f"{self.differing:.1f}", f"{self.carrying:.1f}", _percent(old.coverage), _percent(new.coverage)]
        wrong = [_percent(count.false_better(self.truth)) for count in (old, new)]
        wrong += [_percent(count.false_worse(self.truth)) for count in (old, new)]
        return [*names, *numbers, *wrong, self.judged()]


HEADER = ["differences", "units", "size", "correlation", "differ", "carry", "before", "now"]
HEADER += ["false better, before", "now", "false worse, before", "now", "coverage now is"]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}%"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield a line for each method: its coverage and its false verdicts in the cells of 30 units or more."""
    strict = [cell for cell in cells if cell.design.units >= STRICT_UNITS]
    rows = []
    for method in cells[0].counts:
        covered = sorted(cell.counts[method].coverage for cell in strict)
        within = [share for share in covered if LEAST - 0.005 <= share <= MOST + 0.005]
        below = [share for share in covered if share < LEAST - 0.005]
        wrong = [cell.counts[method].false_better(cell.truth) or 0.0 for cell in strict]
        rows.append([method, _percent(covered[0]), f"{len(below)}", f"{len(within)}", _percent(max(wrong))])
    header = ["method", "lowest coverage", "cells below 93.5%", "cells 93.5 to 96.5%", "most false better"]
    yield f"{len(strict)} cells of {STRICT_UNITS} units or more:\n\n{table(header, rows)}"
    small = [cell for cell in cells if cell.design.units < STRICT_UNITS]
    least = min(cell.counts["now"].coverage for cell in small)
    yield f"The {len(small)} cells of fewer units: coverage now {_percent(least)} or more."


def shares(sets: int, rng: np.random.Generator) -> str:
    """Return the coverage of the interval of a share, as an audit of negatives draws one, before and now."""
    rows = []
    for share in (0.02, 0.1, 0.5):
        for size, alike in ((1, 0.0), (2, 0.3), (5, 0.3), (5, 0.8)):
            units = 100 // size
            taken = rng.random((sets, units, size)) < alike**0.5
            drawn = np.where(taken, rng.random((sets, units, 1)), rng.random((sets, units, size))) < share
            successes, sizes = drawn.sum(axis=2).astype(float), np.full(units, float(size))
            ends = np.array([share_interval(row, sizes) for row in successes])
            plain = wilson(successes.sum(axis=1), 100.0)
            held = [float(((low <= share) & (share <= high)).mean()) for low, high in (plain, ends.T)]
            rows.append([f"{share:g}", str(units), str(size), f"{alike:g}", *map(_percent, held)])
    header = ["share", "units", "size", "correlation", "Wilson (before)", "now"]
    return f"The share of false negatives in an audit of 100:\n\n{table(header, rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=8000, help="sets a cell")
    parser.add_argument("--resampled", type=int, default=1000, help="of these, sets that are also resampled")
    parser.add_argument("--write", type=Path, help="file for the results")
    arguments = parser.parse_args()
    started, rng = time.process_time(), np.random.default_rng(42)
    cells = [Cell(metric, design) for metric in METRICS for design in designs()]
    for cell in cells:
        cell.measure(arguments.sets, arguments.resampled, rng)
        print(*(part.rjust(9) for part in cell.row()), flush=True)
    told = [*summary(cells), table(HEADER, [cell.row() for cell in cells])]
    told.append(shares(arguments.sets // 4, np.random.default_rng(43)))
    told.append(f"{arguments.sets:,} sets a cell, {time.process_time() - started:.0f} s of one core.")
    print("\n\n".join(told))
    if arguments.write:
        text = arguments.write.read_text("utf-8") if arguments.write.exists() else "# Coverage\n"
        kept = text.partition("<!-- measured -->")[0].rstrip()
        arguments.write.write_text(f"{kept}\n\n<!-- measured -->\n\n" + "\n\n".join(told) + "\n", "utf-8")


if __name__ == "__main__":
    main()
