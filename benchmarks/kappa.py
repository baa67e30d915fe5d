"""How often the interval of Cohen's kappa that a judge's report gives holds the true kappa, beside a jackknife's.

    .venv/bin/python benchmarks/kappa.py

Labels are drawn with known shares; in sets of several labels a unit, 60% of them repeat what their unit says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from embedrun_plugins.results.agreement import agreement

DRAWS = 1000
SIZES = ((20, 1), (50, 1), (100, 1), (200, 1), (30, 3), (60, 5))
"""Units, and labels of each."""
RATERS = ((0.5, 0.9, 0.1), (0.8, 0.9, 0.3), (0.9, 0.95, 0.3), (0.8, 0.8, 0.8), (0.7, 0.98, 0.02))
"""Share that people call good; share of these that the judge keeps; share of the others that it keeps."""


Labels = NDArray[np.bool_]


def kappa(people: Labels, judge: Labels) -> float:
    same, first, second = (people == judge).mean(), people.mean(), judge.mean()
    chance = first * second + (1 - first) * (1 - second)
    return float((same - chance) / (1 - chance)) if chance < 1 else np.nan


def true_kappa(good: float, keeps: float, errs: float) -> float:
    same, judge = good * keeps + (1 - good) * (1 - errs), good * keeps + (1 - good) * errs
    chance = good * judge + (1 - good) * (1 - judge)
    return (same - chance) / (1 - chance)


def jackknife(people: Labels, judge: Labels, units: NDArray[np.int64]) -> tuple[float, float]:
    names = np.unique(units)
    left = np.array([kappa(people[units != name], judge[units != name]) for name in names])
    error = np.sqrt((len(names) - 1) * np.mean((left - left.mean()) ** 2))
    reach = stdtrit(len(names) - 1, 0.975) * error
    return kappa(people, judge) - reach, kappa(people, judge) + reach


def draw(
    rng: np.random.Generator, number: int, size: int, good: float, keeps: float, errs: float
) -> tuple[Labels, Labels, NDArray[np.int64]]:
    units = np.repeat(np.arange(number), size)
    shared = rng.random(number) < good
    shared_judge = rng.random(number) < np.where(shared, keeps, errs)
    people = rng.random(number * size) < good
    judge = rng.random(number * size) < np.where(people, keeps, errs)
    repeats = (rng.random(number * size) < 0.6) & (size > 1)
    return np.where(repeats, shared[units], people), np.where(repeats, shared_judge[units], judge), units


def main() -> None:
    rng = np.random.default_rng(0)
    print("| units | labels of each | true kappa | holds | width | jackknife holds | width | undefined |")
    print("|---|---|---|---|---|---|---|---|")
    for number, size in SIZES:
        for raters in RATERS:
            truth, rows, undefined = true_kappa(*raters), [], 0
            for _ in range(DRAWS):
                people, judge, units = draw(rng, number, size, *raters)
                result = agreement(people, judge, units)
                if result.kappa is None:
                    undefined += 1
                    continue
                low, high = jackknife(people, judge, units)
                wilson = (result.kappa_low <= truth <= result.kappa_high, result.kappa_high - result.kappa_low)
                rows.append((*wilson, low <= truth <= high, high - low))
            held, width, other_held, other_width = np.nanmean(np.array(rows, float), axis=0)
            cells = f"{held:.1%} | {width:.2f} | {other_held:.1%} | {other_width:.2f} | {undefined}"
            print(f"| {number} | {size} | {truth:.2f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
