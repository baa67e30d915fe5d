"""Sizes of memory are written as Docker writes them."""

from __future__ import annotations

import pytest

from embedrun_plugins.services.docker.sizes import bytes_of


@pytest.mark.parametrize(
    ("size", "expected"),
    [("100", 100), ("512m", 512 * 2**20), ("8G", 8 * 2**30), ("1.5 gb", 3 * 2**29), ("2t", 2 * 2**40), ("7b", 7)],
)
def test_a_size_is_bytes_in_powers_of_1024(size, expected):
    assert bytes_of(size) == expected
