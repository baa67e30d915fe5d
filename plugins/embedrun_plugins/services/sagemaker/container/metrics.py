"""What a training job prints for CloudWatch: `name=value`, and the regular expressions that find it.

While it trains: `train:loss=0.41 train:learning_rate=2e-05 train:step=10`, and after each evaluation
`dev:ndcg@10=0.52 …`. At its end, by evaluator and model: `information_retrieval:tuned:ndcg@10=0.52`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from embedrun import RunRecord, hookimpl

_NUMBER = r"([-+0-9.eE]+)"
_TRAINING = ("loss", "learning_rate", "grad_norm", "epoch")
_RANKED = ("ndcg@10", "mrr@10", "recall@10")


def definition(name: str) -> dict[str, str]:
    """Return a metric's definition, as CreateTrainingJob takes it, by the name that is printed."""
    escaped = "".join(f"\\{letter}" if letter in ".+*?^$()[]{}|\\" else letter for letter in name)
    return {"Name": name, "Regex": f"{escaped}={_NUMBER}"}


METRICS: tuple[dict[str, str], ...] = tuple(
    definition(name)
    for name in (
        *(f"train:{name}" for name in _TRAINING),
        *(f"dev:{name}" for name in _RANKED),
        *(f"information_retrieval:{role}:{name}" for role in ("base", "tuned", "merged") for name in _RANKED),
    )
)
"""Definitions of what most recipes print; a job takes 40 at most, and `definition` makes others."""


class MetricsPrinter:
    """A plugin that prints what a run reports, as it comes."""

    @hookimpl
    def embedrun_event(self, name: str, values: Mapping[str, Any]) -> None:
        if line := event_line(name, values):
            _print([line])

    @hookimpl
    def embedrun_run_finished(self, run: RunRecord) -> None:
        _print(scores(run.scores))


def event_line(event: str, values: Mapping[str, Any]) -> str:
    """Return the line for what a stage reports; nothing where it holds no metric."""
    prefix = {"log": "train", "evaluation": "dev"}.get(event)
    if prefix is None:
        return ""
    metrics = {name: value for name, value in values.items() if name not in ("epoch", "step")}
    progress = {name: values[name] for name in ("epoch", "step") if name in values}
    return " ".join(_pairs(prefix, metrics | progress))


def scores(run_scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[str]:
    """Yield a line for each model that an evaluator scored."""
    for evaluator, models in run_scores.items():
        for role, metrics in models.items():
            yield " ".join(_pairs(f"{evaluator}:{role}", metrics))


def _pairs(prefix: str, values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{prefix}:{name.removeprefix('eval_')}={value:.8g}"


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)  # noqa: T201 # CloudWatch reads standard output
