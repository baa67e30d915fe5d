"""How a batch's texts are put into parts by their lengths, so that little is padding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

_STEP = 8
"""Tokens between the lengths at which a group may end; more would cost more to choose than it saves."""


def groups(lengths: Sequence[int], overhead: float) -> list[list[int]]:
    """Return the texts' rows, in groups that are padded to their longest, shortest first.

    The groups are those with the least sum of padded tokens and `overhead` tokens for each group: the exact optimum
    among groups whose ends are `_STEP` tokens apart.
    """
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    ends = _ends([lengths[row] for row in order])
    costs, starts = [0.0], [0]
    for number, end in enumerate(ends, 1):
        width = lengths[order[end - 1]]
        begins = enumerate([0, *ends[: number - 1]])
        cost, start = min((costs[k] + overhead + width * (end - begin), k) for k, begin in begins)
        costs.append(cost)
        starts.append(start)
    bounds, last = [len(ends)], len(ends)
    while last:
        last = starts[last]
        bounds.append(last)
    cuts = [0 if bound == 0 else ends[bound - 1] for bound in reversed(bounds)]
    return [order[begin:end] for begin, end in pairwise(cuts)]


def _ends(ordered: Sequence[int]) -> list[int]:
    """Return after how many of the sorted texts a group may end."""
    steps = [-(-length // _STEP) for length in ordered]
    return [count for count in range(1, len(steps)) if steps[count] != steps[count - 1]] + [len(steps)]


def parts(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Return the texts' rows, shortest first, in as few parts as hold about `tokens` tokens each."""
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    total = sum(lengths)
    count = max(1, round(total / tokens))
    filled: list[list[int]] = [[] for _ in range(count)]
    for row, before in zip(order, accumulate((lengths[row] for row in order), initial=0), strict=False):
        filled[min(count - 1, before * count // max(1, total))].append(row)
    return [part for part in filled if part]
