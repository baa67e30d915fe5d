"""The recipe, what the result may depend on, and how to get the same again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence

from embedrun.record import RunRecord
from embedrun_plugins.results.phrases import NOTHING, nearby, title
from embedrun_plugins.results.report.markup import Content, Markup, element, folded, section, table


def model(runs: Sequence[tuple[str, RunRecord]]) -> Markup:
    """Say where each run's model is, how it is served, and where it was deployed."""
    content = [part for name, run in runs for part in _model(run, name if len(runs) > 1 else "The model")]
    return section("model", "The model", *content)


def _model(run: RunRecord, name: str) -> Iterator[Content]:
    folder = run.artifact(run.last_model)
    if folder is not None:
        yield element("p", f"{title(name)} is a sentence-transformers folder, to be loaded or copied from here:")
        yield _code(str(nearby(folder)))
        yield element("p", "Serve it on this machine:")
        yield _code(f"embedrun serve {shlex.quote(str(nearby(run.folder)))}")
    for stage in run.stages():
        if stage.slot.startswith("deployer.") and not stage.error:
            address = stage.notes.get("at") or stage.type
            yield element("p", f"{stage.slot.removeprefix('deployer.')} made it available at {address}.")


def recipe(runs: Sequence[tuple[str, RunRecord]]) -> Markup:
    """Return the recipe as written; of two runs, how the recipes differ."""
    if len(runs) == 1:
        run = runs[0][1]
        file = run.folder / "recipe.yaml"
        written = file.read_text("utf-8") if file.is_file() else json.dumps(run.recipe, indent=1)
        return section("recipe", "Recipe", _code(written.strip("\n")))
    from difflib import unified_diff

    (first, one), (second, other) = runs
    before, after = (json.dumps(run.recipe, indent=1, ensure_ascii=False).splitlines() for run in (one, other))
    difference = "\n".join(unified_diff(before, after, first, second, lineterm="", n=2))
    same = "The two recipes are the same, with all defaults written out."
    return section("recipe", "How the recipes differ", _code(difference) if difference else element("p", same))


def reproduction(runs: Sequence[tuple[str, RunRecord]]) -> Markup:
    """Return the commands that give the same again, and what the results may depend on."""
    parts: list[Content] = []
    for name, run in runs:
        which = name if len(runs) > 1 else "it"
        heading = f"Run {which} again from nothing, and compare every result and score:"
        parts += [element("p", heading), _code(f"embedrun reproduce {shlex.quote(str(nearby(run.folder)))}")]
        facts = folded(f"Versions and hardware of {name}", table("Versions and hardware", ["", ""], _facts(run)))
        parts += [facts]
    return section("reproduce", "How to reproduce", *parts)


def _facts(run: RunRecord) -> list[tuple[str, str]]:
    environment = run.environment
    command = shlex.join(map(str, run.command))
    rows = [("command", command), ("started", run.started), ("seed", str(run.seed))]
    for key, value in environment.items():
        if key == "git" and value:
            rows.append(("git", f"{value.get('commit')}{', with changes' if value.get('changed') else ''}"))
        elif isinstance(value, Mapping):
            rows += [(str(name), str(text)) for name, text in value.items()]
        elif value is not None and value != []:
            rows.append((key, ", ".join(value) if isinstance(value, list) else str(value)))
    rows += [
        (f"stage {stage.slot}", f"{stage.type}, result {(stage.digest or NOTHING)[:12]}") for stage in run.stages()
    ]
    return rows


def _code(written: str) -> Markup:
    return element("pre", element("code", written), tabindex=0)
