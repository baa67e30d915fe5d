"""What a training job prints for CloudWatch: `name=value`, and the regular expressions that find it.

While it trains: `train:loss=0.41 train:learning_rate=2e-05 train:step=10`, and after each evaluation
`dev:ndcg@10=0.52 …`. At its end, by evaluator and model: `information_retrieval:tuned:ndcg@10=0.52`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from embedrun import RunRecord, hookimpl

_NUMBER = r"([-+0-9.eE]+)"
_SECONDS = 0.5
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


class Printing:
    """A plugin that prints what a run reports, as it comes."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._following: threading.Thread | None = None

    @hookimpl
    def embedrun_run_started(self, run: RunRecord) -> None:
        self._following = threading.Thread(target=self._follow, args=(run.folder / "log.jsonl",), daemon=True)
        self._following.start()

    @hookimpl
    def embedrun_run_finished(self, run: RunRecord) -> None:
        self._ended.set()
        if self._following:
            self._following.join()
        _print(scores(run.scores))

    def _follow(self, log: Path) -> None:
        seen = log.stat().st_size if log.exists() else 0
        ending = False
        while not ending:
            ending = self._ended.wait(_SECONDS)
            whole = _whole_lines(log, seen)
            seen += len(whole)
            for text in whole.decode("utf-8").splitlines():
                _print([line] if (line := reported(json.loads(text))) else [])


def _whole_lines(file: Path, start: int) -> bytes:
    """Return what was added to a file since, up to the last line that is whole."""
    if not file.exists():
        return b""
    with file.open("rb") as stream:
        stream.seek(start)
        added = stream.read()
    return added[: added.rfind(b"\n") + 1]


def reported(event: Mapping[str, Any]) -> str:
    """Return the line for an event of a run's log; nothing where it holds no metric."""
    kind = {"log": "train", "evaluation": "dev"}.get(str(event.get("event")))
    if kind is None:
        return ""
    values = {name: value for name, value in event.items() if name not in ("time", "event", "epoch", "step")}
    last = {name: event[name] for name in ("epoch", "step") if name in event}
    return " ".join(_pairs(kind, {**values, **last}))


def scores(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[str]:
    """Yield a line for each model that an evaluator scored."""
    for evaluator, models in found.items():
        for role, metrics in models.items():
            yield " ".join(_pairs(f"{evaluator}:{role}", metrics))


def _pairs(prefix: str, values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{prefix}:{name.removeprefix('eval_')}={value:.8g}"


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)  # noqa: T201 # CloudWatch reads standard output
