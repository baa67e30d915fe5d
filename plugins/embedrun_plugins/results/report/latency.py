"""How fast what was deployed answered under load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from embedrun.record import RunRecord
from embedrun_plugins.results.phrases import NOTHING, title
from embedrun_plugins.results.report.markup import Content, Markup, element, section, table

_HEADER = ("clients", "p50", "p95", "p99", "requests per second", "tokens per second", "requests", "errors")


def latency(runs: Sequence[tuple[str, RunRecord]]) -> Markup:
    """Return a table for each endpoint that was measured once it was deployed."""
    content = [part for name, run in runs for part in _run(run, name if len(runs) > 1 else None)]
    return section("latency", "Latency and throughput", *content)


def _run(run: RunRecord, name: str | None) -> Iterator[Content]:
    for stage in run.stages():
        levels = stage.notes.get("latency")
        if not isinstance(levels, list) or not levels:
            continue
        slot = stage.slot.removeprefix("deployer.")
        heading = f"{slot} at {stage.notes.get('at') or stage.type}"
        yield table(f"{title(name)}: {heading}" if name else heading, _HEADER, [_row(level) for level in levels])
        errors = dict.fromkeys(str(level["said"]) for level in levels if level.get("said"))
        yield from (element("p", f"An error of {slot}: {text}") for text in errors)
        lost = sum(sum(level["errors"].values()) for level in levels)
        yield element(
            "p",
            "Measured from this machine, each client sending one request after the other; latencies are those of the "
            f"requests that succeeded. {f'{lost:,} requests failed.' if lost else 'No request failed.'}",
        )


def _row(level: Mapping[str, Any]) -> list[Content]:
    return [
        f"{level['concurrency']:,}",
        *(_short(level[key], " ms") for key in ("p50_ms", "p95_ms", "p99_ms")),
        *(_short(level[key]) for key in ("requests_per_second", "tokens_per_second")),
        f"{level['requests']:,}",
        ", ".join(f"{count:,} x {kind}" for kind, count in level["errors"].items()) or "0",
    ]


def _short(value: float | None, unit: str = "") -> str:
    """Return a figure with tenths where they are of interest."""
    return NOTHING if value is None else f"{value:,.{0 if value >= 10 else 1}f}{unit}"  # noqa: PLR2004
