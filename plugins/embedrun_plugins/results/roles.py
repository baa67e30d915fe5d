"""The models of a run by role: its own, in the order in which they come to be, and those that it is compared with."""

from __future__ import annotations

from collections.abc import Iterable

from embedrun.stages import ROLES

_SEED = ".seed_"


def own(roles: Iterable[str]) -> list[str]:
    """Return the run's own models, base first."""
    present = set(roles)
    return [role for role in ROLES if role in present]


def rivals(roles: Iterable[str]) -> list[str]:
    """Return the models of `compare_with`, in the order given."""
    return [role for role in roles if role not in ROLES and _SEED not in role]


def of_seeds(roles: Iterable[str], role: str) -> list[str]:
    """Return a model's roles over the seeds that it was trained with, the first of which has no seed in its name."""
    return [name for name in roles if name == role or name.startswith(f"{role}{_SEED}")]


def last(roles: Iterable[str]) -> str:
    """Name the model that the run ends with: merged, else tuned, else base."""
    return own(roles)[-1]
