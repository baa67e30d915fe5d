"""Quality against storage: what each number of dimensions keeps, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from embedrun_plugins.results.comparison import Contender, Contest, spoken
from embedrun_plugins.results.phrases import NOTHING, byte_count, figure, title
from embedrun_plugins.results.report.markup import Content, Markup, element, section, table
from embedrun_plugins.results.report.palette import SERIES
from embedrun_plugins.results.report.plots import Series, steps

_BYTES = 4
"""Of a dimension, as float32."""
_MILLION = 1_000_000


def storage(contests: Sequence[Contest]) -> Markup:
    """Return a plot and a table for each evaluator that scored several numbers of dimensions."""
    content: list[Content] = []
    for number, contest in enumerate(contests, start=1):
        sizes = [(size or contest.base.size, metric) for size, metric in contest.sizes()]
        known_sizes = [(size, metric) for size, metric in sizes if size is not None]
        if len(known_sizes) > 1:
            content += [
                _smallest(contest, known_sizes),
                _plot(contest, known_sizes, f"storage-{number}"),
                _table(contest, known_sizes, contest.sizes()[0][1]),
            ]
    return section("storage", "Quality against storage", *content)


def _smallest(contest: Contest, sizes: Sequence[tuple[int, str]]) -> Markup | None:
    """Say how small the last model's vectors can be and still score at least what the first scores at full size."""
    last, full = contest.last, contest.base.metrics[contest.sizes()[0][1]]
    enough = [(size, metric) for size, metric in sizes if last.metrics.get(metric, -1.0) >= full]
    if not enough or not contest.challengers:
        return None
    (size, metric), most = min(enough), sizes[0][0]
    if size == most:
        return None
    return element(
        "p",
        f"{title(last.name)} at {size} of {most} dimensions ({byte_count(size * _BYTES)} a vector, "
        f"{size / most:.0%} of the storage) scores {figure(last.metrics[metric])}; {contest.base.name} with "
        f"full vectors scores {figure(full)}.",
    )


def _plot(contest: Contest, sizes: Sequence[tuple[int, str]], name: str) -> Markup:
    rising = sorted(sizes)
    series = [
        Series(contender.name, list(_points(contender, rising)), colour)
        for contender, colour in zip(contest.contenders, SERIES, strict=False)
    ]
    description = "The figures are in the table below."
    what = f"{spoken(contest.headline)} by bytes per vector"
    places = [f"{size * _BYTES:,}" for size, _ in rising]
    return steps(name, what, description, series, places, "bytes per vector (float32)")


def _points(contender: Contender, sizes: Sequence[tuple[int, str]]) -> Iterator[tuple[float, float]]:
    for number, (_, metric) in enumerate(sizes):
        if metric in contender.metrics:
            yield number, contender.metrics[metric]


def _table(contest: Contest, sizes: Sequence[tuple[int, str]], full: str) -> Markup:
    header: list[str] = ["dimensions", "bytes per vector", "GB per million"]
    for contender in contest.contenders:
        header += [contender.name, f"{contender.name}, kept"]
    rows = []
    for size, metric in sizes:
        row = [f"{size:,}", f"{size * _BYTES:,}", f"{size * _BYTES * _MILLION / 1e9:.3g}"]
        for contender in contest.contenders:
            value, most = contender.metrics.get(metric), contender.metrics.get(full)
            row += [figure(value), f"{value / most:.1%}" if value is not None and most else NOTHING]
        rows.append(row)
    return table(f"{spoken(contest.headline)} and storage by dimensions", header, rows)
