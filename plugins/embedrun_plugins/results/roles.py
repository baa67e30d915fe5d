"""The models of a run by role: its own, in the order in which they come to be, and those that it is compared with."""

from __future__ import annotations

from collections.abc import Iterable

from embedrun.stages import ROLES

_SEED = ".seed_"
_WITH = "+"
BASE_RERANKER, TUNED_RERANKER = "base_reranker", "tuned_reranker"


def own(roles: Iterable[str]) -> list[str]:
    """Return the run's own models, base first."""
    present = set(roles)
    return [role for role in ROLES if role in present]


def rivals(roles: Iterable[str]) -> list[str]:
    """Return the models of `compare_with`, in the order given."""
    return [role for role in roles if role not in ROLES and _SEED not in role and _WITH not in role]


def pairs(roles: Iterable[str]) -> list[str]:
    """Return the models together with a reranker, as in "tuned+base_reranker"."""
    return [role for role in roles if _WITH in role]


def embedder_of(pair: str) -> str:
    return pair.partition(_WITH)[0]


def opponents(pair: str, roles: Iterable[str]) -> list[str]:
    """Return what a pair is compared with: its model alone, then the same with the untuned reranker."""
    embedder, _, reranker = pair.partition(_WITH)
    untuned = f"{embedder}{_WITH}{BASE_RERANKER}"
    return [embedder, *([untuned] if reranker == TUNED_RERANKER and untuned in set(roles) else [])]


def last_pair(roles: Iterable[str]) -> str | None:
    """Name the last model together with the last reranker, where there is one."""
    roles = list(roles)
    of_last = [pair for pair in pairs(roles) if embedder_of(pair) == last(roles)]
    return of_last[-1] if of_last else None


def of_seeds(roles: Iterable[str], role: str) -> list[str]:
    """Return a model's roles over the seeds that it was trained with, the first of which has no seed in its name."""
    return [name for name in roles if name == role or name.startswith(f"{role}{_SEED}")]


def last(roles: Iterable[str]) -> str:
    """Name the model that the run ends with: merged, else tuned, else base."""
    return own(roles)[-1]
