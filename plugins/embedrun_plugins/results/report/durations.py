"""Where the time went."""

from __future__ import annotations

from collections.abc import Sequence

from embedrun.finished import Finished
from embedrun.record import RunRecord
from embedrun_plugins.results.phrases import NOTHING, byte_count, duration, title
from embedrun_plugins.results.report.markup import Content, Markup, element, section, table


def section_of(runs: Sequence[tuple[str, RunRecord]]) -> Markup:
    """Return each run's stages with their time and memory."""
    content: list[Content] = []
    for name, run in runs:
        stages = list(run.stages())
        if stages:
            total = sum(stage.seconds for stage in stages) or 1.0
            reused = sum(stage.cached for stage in stages)
            sentence = f"{len(stages)} stages in {duration(run.seconds or total)}"
            if reused:
                sentence += f"; {'all' if reused == len(stages) else reused} of them reused from the store"
            content.append(element("p", f"{title(name)}: {sentence}." if len(runs) > 1 else f"{sentence}."))
            caption = f"Stages of {name}" if len(runs) > 1 else "Stages"
            header = ["stage", "time", "share", "peak memory"]
            content.append(table(caption, header, [_row(stage, total) for stage in stages]))
    return section("timing", "Where the time went", *content)


def _row(stage: Finished, total: float) -> list[Content]:
    share = stage.seconds / total
    took: Content = element("span", "cached", class_="tag") if stage.cached else duration(stage.seconds)
    if stage.error:
        took = element("span", "failed", class_="tag bad")
    bar = element("span", element("i", style=f"width:{share:.1%}"), class_="bar", aria_hidden="true")
    memory = byte_count(stage.peak_memory) if stage.peak_memory and not stage.cached else NOTHING
    return [
        stage.slot,
        took,
        [bar, element("span", f"{share:.0%}", class_="share")] if not stage.cached else NOTHING,
        memory,
    ]
