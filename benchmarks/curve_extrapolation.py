"""How often the interval of what twice the data would bring holds the truth, on made-up curves whose truth is known.

python benchmarks/curve_extrapolation.py [SETS]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from embedrun_plugins.results.extrapolation import Noise, doubled

SETS = int(sys.argv[1]) if len(sys.argv) > 1 else 100
Floats = NDArray[np.float64]
Shape = Callable[[Floats], Floats]
SHARES = [tuple(2.0**-n for n in range(count - 1, -1, -1)) for count in (4, 6)]
SHAPES: dict[str, Shape] = {
    "straight in log n": lambda n: 0.5 + 0.02 * np.log2(n),
    "power law, c = 0.5": lambda n: 0.7 - 0.15 * n**-0.5,
    "flat from half on": lambda n: 0.6 - 0.1 * np.maximum(0, np.log2(0.5 / n)) / 3,
    "flat": lambda n: np.full_like(n, 0.6),
}
UNITS = (50, 400)
NOISES = (0.002, 0.008)
"""Standard deviation of a score from training to training."""


def simulated(
    random: np.random.Generator, shape: Shape, shares: Sequence[float], units: int, noise: float
) -> tuple[Floats, Floats, Floats]:
    """Return counts, sums and sizes of one made-up experiment: nDCG-like scores, the same queries for every share."""
    places = np.array(shares)
    means = shape(places) + noise * random.standard_normal(len(shares))
    levels = random.beta(1.2, 1.0, units) - 1.2 / 2.2
    of_training = 0.2 * random.standard_normal((len(shares), units))
    return places * 1000, means[:, None] + levels[None] + of_training, np.ones(units)


def measured(random: np.random.Generator, shape: Shape, shares: Sequence[float], units: int, noise: float) -> str:
    """Return how often the interval held the truth, how often there was a verdict, and how wide it was."""
    truth = float(shape(np.array([2.0]))[0] - shape(np.array([1.0]))[0])
    cells = []
    for known in (None, Noise(noise**2, 2 * len(shares))):
        results = [doubled(*simulated(random, shape, shares, units, noise), known) for _ in range(SETS)]
        ends = np.array([(result.low, result.high) for result in results])
        held = np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
        told = np.mean([result.verdict != "can't tell" for result in results])
        cells.append(f"{held:.1%} | {told:.1%} | {np.median(ends[:, 1] - ends[:, 0]):.3f}")
    return " | ".join(cells)


def main() -> None:
    random = np.random.default_rng(1)
    print(f"{SETS} sets of each kind; in the last three columns, what a seed changes is known from three seeds\n")
    print("| curve | shares | units | of a seed | holds | verdict | width | holds | verdict | width |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, shape in SHAPES.items():
        for shares in SHARES:
            for units in UNITS:
                for noise in NOISES:
                    cells = measured(random, shape, shares, units, noise)
                    print(f"| {name} | {len(shares)} | {units} | {noise} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
