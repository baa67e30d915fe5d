"""Keys under which equal texts, and texts that differ in nothing but their letters' form, are one."""

from __future__ import annotations

import re
from array import array
from collections.abc import Hashable, Iterable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_INSIGNIFICANT = re.compile(r"[\s!-/:-@\[-`{-~\u2000-\u206f\u3000-\u303f]+")


class UnionFind:
    """Numbered things in groups that are joined two at a time."""

    def __init__(self, size: int) -> None:
        self.parents = array("q", range(size))

    def root(self, item: int) -> int:
        """Return the least number of an item's group."""
        parents = self.parents
        while parents[item] != item:
            parents[item] = item = parents[parents[item]]
        return item

    def join(self, left: int, right: int) -> None:
        # The smaller number becomes the root, so that groups do not depend on the order of joining.
        first, second = sorted((self.root(left), self.root(right)))
        self.parents[second] = first

    def roots(self) -> NDArray[np.int64]:
        """Return (size,): the root of each thing."""
        import numpy as np

        parents = np.array(self.parents, np.int64)
        while not np.array_equal(above := parents[parents], parents):
            parents = above
        return parents


def joined(*kinds: Sequence[Iterable[Hashable]]) -> list[int]:
    """Return for each item the least number of those that it is joined to by anything that they share, of any kind.

    Each kind gives every item's things: what is joined to the same item is joined too.
    """
    forest, first = UnionFind(len(kinds[0])), dict[tuple[int, Hashable], int]()
    for kind, items in enumerate(kinds):
        for item, things in enumerate(items):
            for thing in things:
                forest.join(item, first.setdefault((kind, thing), item))
    return [int(root) for root in forest.roots()]


def near_key(text: str) -> int:
    """Return a key that texts share which differ only in case, white space and punctuation."""
    return text_key(bare(text))


def bare(text: str) -> str:
    """Return a text without case, white space and punctuation, or as it is where it has nothing else."""
    return _INSIGNIFICANT.sub("", text.casefold()) or text


def text_key(text: str) -> int:
    """Return a key of 64 bits that only equal texts share."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
