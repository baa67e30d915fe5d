"""What an engine refuses is told in words of the recipe's keys, with what to do."""

from __future__ import annotations

import pytest

from embedrun_plugins.services.docker.gpus import explained


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("exec /usr/bin/python3: exec format error", "deployer.image: is for another kind of processor"),
        (
            'invalid mount config for type "bind": bind source path does not exist: /srv/my data',
            "deployer: /srv/my data: is not on the engine's machine",
        ),
        ("Mounts denied: the path /srv is not shared from the host", "deployer: the engine may not show"),
        ("write /var/lib/docker/x: no space left on device", "the engine's disk is full; `docker system df`"),
        ("could not select device driver with capabilities: [[gpu]]", "deployer.gpu: the engine knows no NVIDIA"),
        ("conflict", "deployer: the engine refuses to start the container: conflict"),
    ],
    ids=str,
)
def test_a_refusal_is_told_by_the_key_that_would_mend_it(said, expected):
    assert expected in explained(said, "deployer", "deployer.gpu")
