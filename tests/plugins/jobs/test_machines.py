"""Training processes and the machines that share them."""

from __future__ import annotations

import pytest

from embedrun_plugins.jobs import machines


@pytest.mark.parametrize(
    ("instance_type", "count"),
    [
        ("ml.m5.xlarge", 0),
        ("ml.g5.xlarge", 1),
        ("ml.g5.16xlarge", 1),
        ("ml.g5.12xlarge", 4),
        ("ml.g6e.48xlarge", 8),
        ("ml.p4d.24xlarge", 8),
        ("ml.p5.4xlarge", 1),
        ("ml.p6-b200.48xlarge", 8),
        ("ml.p9.96xlarge", None),
    ],
)
def test_gpus_of_a_machine(instance_type, count):
    assert machines.gpus(instance_type) == count


@pytest.mark.parametrize(
    ("instance_type", "takes_no_key"),
    [("ml.m5.xlarge", False), ("ml.p3.2xlarge", False), ("ml.g5.xlarge", True), ("ml.m5d.large", True)],
)
def test_machines_whose_volume_is_their_own_disk(instance_type, takes_no_key):
    assert machines.has_own_disks(instance_type) is takes_no_key
