"""Optuna's study of a sweep: its samplers, its pruners, and the journal that survives a kill."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embedrun.errors import MissingPackageError, StageError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

SAMPLERS = ("tpe", "random", "gp")
PRUNERS = ("median", "halving", "hyperband", "none")
_NAME = "sweep"
_STARTUP = 4
"""Trials before the sampler learns from them, and before the pruner compares with them."""


def require() -> None:
    """Raise MissingPackageError where Optuna is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise MissingPackageError("embedrun sweep", "optuna", "sweep") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_study(journal: Path, sampler: BaseSampler | None = None, pruner: str = "none") -> Study:
    """Open a study, or begin it. Raises StageError where the journal cannot be read."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    require()
    try:
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name=_NAME,
            direction="maximize",
            load_if_exists=True,
            sampler=sampler,
            pruner=pruner_of(pruner),
        )
    except (ValueError, KeyError) as error:
        raise StageError(f"{journal}: is damaged ({error}); remove the sweep's folder to begin again") from error


def sampler_of(name: str, seed: int) -> BaseSampler:
    """Return a sampler whose draws depend on its seed and the trials so far alone, not on who drew before."""
    from optuna import samplers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Optuna's word for what may still change
        if name == "gp":
            return samplers.GPSampler(seed=seed, n_startup_trials=_STARTUP)
        if name == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP, multivariate=True)


def pruner_of(name: str) -> BasePruner:
    from optuna import pruners

    match name:
        case "median":
            return pruners.MedianPruner(n_startup_trials=_STARTUP)
        case "halving":
            return pruners.SuccessiveHalvingPruner()
        case "hyperband":
            return pruners.HyperbandPruner()
    return pruners.NopPruner()


def frozen(study: Study) -> Sequence[FrozenTrial]:
    return study.get_trials(deepcopy=False)


def trial_of(study: Study, number: int) -> Trial:
    """Return a trial that is under way, by its number."""
    from optuna.trial import Trial

    return Trial(study, frozen(study)[number]._trial_id)  # noqa: SLF001 - the library's only way to take one up again


def importances(study: Study) -> Mapping[str, float]:
    """Return each parameter's share in how dev scores differ; nothing where too few trials differ.

    Source: PED-ANOVA (Watanabe et al., IJCAI 2023), as Optuna computes it.
    """
    import optuna

    with warnings.catch_warnings(), contextlib.suppress(ValueError, RuntimeError, ZeroDivisionError):
        warnings.simplefilter("ignore")
        return optuna.importance.get_param_importances(study)
    return {}


def steps_of(trial: FrozenTrial) -> Iterator[tuple[int, float]]:
    yield from sorted(trial.intermediate_values.items())
