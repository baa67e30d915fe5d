"""What instances of SageMaker's endpoints cost, where that is known."""

from __future__ import annotations

from collections.abc import Mapping

HOSTING: Mapping[str, float] = {
    "ml.t2.medium": 0.056,
    "ml.t2.large": 0.111,
    "ml.m5.large": 0.115,
    "ml.m5.xlarge": 0.23,
    "ml.m5.2xlarge": 0.461,
    "ml.m5.4xlarge": 0.922,
    "ml.c5.large": 0.102,
    "ml.c5.xlarge": 0.204,
    "ml.c5.2xlarge": 0.408,
    "ml.c5.4xlarge": 0.816,
    "ml.g4dn.xlarge": 0.7364,
    "ml.g4dn.2xlarge": 0.94,
    "ml.g5.xlarge": 1.408,
    "ml.g5.2xlarge": 1.515,
    "ml.g5.4xlarge": 2.03,
    "ml.p3.2xlarge": 3.825,
}
"""US dollars an hour for real-time inference, on demand in us-east-1, as listed in 2025; other regions differ."""


def hosting(instance_type: str, instances: int = 1) -> float | None:
    """Return the list price an hour; None where it is not known."""
    each = HOSTING.get(instance_type)
    return None if each is None else round(each * instances, 4)
