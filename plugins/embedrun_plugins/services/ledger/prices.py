"""What instances of SageMaker's endpoints cost, roughly and where that is known: estimates, to be checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
"""US dollars an hour for real-time inference, on demand in us-east-1.

They are written down from memory of AWS's price list of 2025, and checked against no source; other regions and
contracts differ. Whoever decides by them looks them up first: https://aws.amazon.com/sagemaker/ai/pricing/.
"""
CHECK = "estimates for us-east-1; check them against AWS's price list"


def hosting(instance_type: str, instances: int = 1) -> float | None:
    """Return an estimate of the price an hour; None where there is none."""
    each = HOSTING.get(instance_type)
    return None if each is None else round(each * instances, 4)


def training(instance_type: str, instances: int = 1) -> float | None:
    """Return the same for training, which costs as much an hour as hosting on the machines listed here."""
    return hosting(instance_type, instances)


@dataclass(frozen=True)
class Price:
    """What a deployment costs in US dollars an hour; an estimate."""

    usd: float | None
    """With the least instances; None where it is not known."""
    most_usd: float | None = None
    """With as many as scaling may add; None where there are always as many."""
    asked: bool = False
    """Whether every request costs something, too."""

    def recorded(self) -> dict[str, Any]:
        """Return it as the ledger writes it down."""
        return {"usd_per_hour": self.usd, "most_usd_per_hour": self.most_usd, "pays_requests": self.asked}

    def shown(self, mark: str = "", unit: str = "") -> str:
        """Return the range, as in "0.23 to 0.92", and that requests are paid for."""
        most = "" if self.most_usd is None else f" to {mark}{self.most_usd:.2f}"
        return f"{mark}{self.usd or 0.0:.2f}{most}{unit}{' and a price per request' if self.asked else ''}"
