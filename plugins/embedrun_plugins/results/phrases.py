"""Figures and verdicts in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from embedrun_plugins.results.comparison import Contender, Contest, Row, spoken

NOTHING = "\N{EN DASH}"
"""Stands where there is no figure."""
MINUS = "\N{MINUS SIGN}"
_MINUTE, _HOUR = 60, 3600
_EXACT = 10
"""Seconds below which tenths are of interest."""


def figure(value: float | None, digits: int = 3) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    return NOTHING if value is None else f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", MINUS)


def interval(row: Row, digits: int = 3) -> str:
    """Return `+0.124 to +0.213`, or nothing where there is no interval."""
    if row.get("low") is None or row.get("high") is None:
        return ""
    return f"{signed(row['low'], digits)} to {signed(row['high'], digits)}"


def duration(seconds: float) -> str:
    if seconds < _EXACT:
        return f"{seconds:.2g} s" if seconds >= 0.1 else "under 0.1 s"  # noqa: PLR2004 - as it says
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if seconds < _HOUR:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours} h {minutes} min"


def byte_count(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:  # noqa: PLR2004 - of bytes a kilobyte has
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def nearby(path: Path) -> Path:
    """Return a path from the current folder, where it is within."""
    path, here = path.resolve(), Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def title(name: str) -> str:
    """Return a name with its first letter large, as at the start of a sentence."""
    return f"{name[:1].upper()}{name[1:]}"


def verdict(
    contest: Contest, size: int | None, metric: str, contender: Contender, rival: Contender | None = None
) -> tuple[str, str]:
    """Return a word (better, worse, can't tell, the same, no verdict) for a model at a size, and a sentence.

    It is compared with the first model, or with a rival, whose vectors have a size of their own.
    """
    row = contest.row(metric, contender, rival) or {}
    base, value = (rival or contest.base).metrics.get(metric), contender.metrics.get(metric)
    name, other = title(contender.name), (rival or contest.base).name
    what = f"{spoken(metric)}{'' if rival else contest.at(size)}"
    figures = f"{what} is {figure(value)} against {figure(base)}"
    change = signed(row.get("difference"))
    judgement = row.get("verdict")
    if judgement in ("better", "worse"):
        return judgement, f"{name} is {judgement} than {other}: {figures}, {change} ({_sureness(contest, row)})."
    sureness = _sureness(contest, row)
    if judgement and row.get("won") == row.get("lost") == 0:
        return "the same", f"{name} and {other} do equally well on every query: {figures}, {change} ({sureness})."
    if judgement:
        unsure = f"Can't tell whether {name[:1].lower()}{name[1:]} differs from {other}"
        return judgement, f"{unsure}: {figures}, {change} ({sureness}).{_needed(row)}"
    plain = f"{name} against {other}: {figures}{f', {change}' if row else ''}."
    return "no verdict", f"{plain} There is no interval, since this evaluator keeps no scores by query."


def _sureness(contest: Contest, row: Row) -> str:
    held_out = "held-out " if contest.split in ("dev", "test") else ""
    queries = f"on {row.get('queries') or 0:,} {held_out}queries{_in_units(row)}"
    return f"95% interval {interval(row)}, {queries}" if interval(row) else queries


def _in_units(row: Row) -> str:
    units = row.get("units")
    return f" in {units:,} independent units" if units and units != row.get("queries") else ""


_UNITS = {
    "document": "queries about one passage, or near copies of it, count as one",
    "source": "queries about one source count as one",
    "none": "every query counts as one",
}


def basis(rows: Iterable[Row]) -> list[str]:
    """Say on how many independent units and trainings verdicts rest, and for how many metrics they are corrected."""
    judged = [row for row in rows if row.get("units") and row.get("queries")]
    if not judged:
        return []
    corrected = [row for row in judged if row.get("p_adjusted") is not None]
    if len(corrected) == len(judged):
        return [*(f"{row['metric']}: {_counted(row)}" for row in judged), *_alike(judged), _trainings(judged[0])]
    headline = next((row for row in judged if row not in corrected), judged[0])
    sentences = [f"{_counted(headline)}: {_UNITS[headline.get('units_by') or 'none']}"]
    if corrected:
        others = f"those of {len(corrected)} others are corrected for their number"
        sentences.append(f"the verdict is that of {headline['metric']}; {others}")
    return [*sentences, _trainings(headline)]


def _counted(row: Row) -> str:
    units = "1 independent unit" if row["units"] == 1 else f"{row['units']:,} independent units"
    return f"{row['queries']:,} queries, {units}"


def _alike(rows: Sequence[Row]) -> list[str]:
    """Say that the verdicts on metrics that matter alike are corrected, where there are several."""
    return [f"these {len(rows)} verdicts are corrected for their number"] if len(rows) > 1 else []


def _trainings(row: Row) -> str:
    """Say how much the seed of the training matters, if that is known."""
    over = row.get("over_seeds")
    if not over:
        return "one training: how much another seed would change is not known (--seeds 3)"
    spread = ", ".join(
        f"{name} {count} trainings, {over[f'{name}_spread']:.4f} from seed to seed"
        for name, count in zip(("model", "base"), over["trainings"], strict=True)
        if count > 1
    )
    figures = f"{signed(over['difference'], 4)}, {interval(over, 4)} with both spreads: {over['verdict']}"
    return f"{row['metric']} over seeds: {figures} ({spread})"


def _needed(row: Row) -> str:
    """Say what a verdict would take; one of few queries would rest on chance, however wide their differences."""
    if row.get("few") and row.get("units"):
        differing, units = row.get("units_differing") or 0, row["units"]
        return f" {differing:,} of {units:,} independent units differ, or few carry it all: not enough for a verdict."
    if not row.get("detectable"):
        return ""
    if (row["low"] or 0) > 0 or (row["high"] or 0) < 0:
        return " By itself it would be a verdict; among so many metrics looked at it may be chance."
    return f" With these queries a gain would have to be about {figure(row['detectable'])} or more to be seen."


def alone(contest: Contest, size: int | None, metric: str) -> str:
    """Say what the only model of a contest scores."""
    return (
        f"{title(contest.base.name)} scores {spoken(metric)} {figure(contest.base.metrics[metric])}{contest.at(size)}."
    )
