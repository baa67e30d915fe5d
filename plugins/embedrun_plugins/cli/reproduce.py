"""`embedrun reproduce`: a run's lock again, from nothing, compared stage by stage."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence

from embedrun import RunRecord
from embedrun.errors import INTERRUPTED
from embedrun_plugins.cli import console
from embedrun_plugins.cli.arguments import device, overrides, runs
from embedrun_plugins.cli.console import say
from embedrun_plugins.cli.score_tables import short
from embedrun_plugins.results.reproduce.again import Conditions, Room, repeat, room
from embedrun_plugins.results.reproduce.verdict import Verdict, judge
from embedrun_plugins.results.runs import find_run

DIFFERS = 1
_MOST = 8


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's folder, or a recipe's name for its latest run")
    help_on = "runtime to use; by default the container that it was made in, else this process (local)"
    parser.add_argument("--on", metavar="RUNTIME", help=help_on)
    parser.add_argument("--keep", action="store_true", help="keep the new run and its results even if identical")
    help_set = "change a value of the recipe, such as a path that has changed"
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help=help_set)
    parser.add_argument("--device", type=device, metavar="DEVICE", help="torch device; by default the run's own")
    parser.add_argument("--offline", action="store_true", help="download nothing")
    parser.add_argument("--json", action="store_true", help="end standard output with one line of JSON")
    runs(parser)


def run(arguments: Namespace) -> int:
    record = RunRecord.read(find_run(arguments.run, arguments.runs))
    conditions = Conditions(arguments.on, overrides(arguments), arguments.device, arguments.offline)
    try:
        with room(record.folder) as made:
            repetition = repeat(record, made.path, conditions, console.console())
            verdict = judge(repetition)
            made.kept = arguments.keep or not verdict.identical
    except KeyboardInterrupt:
        print("interrupted; the repeated run was removed", file=sys.stderr)
        return INTERRUPTED
    kept = repetition.now if made.kept else None
    say("\n".join(_told(record, verdict, kept, made)))
    if arguments.json:
        print(json.dumps(_described(record, verdict, kept)))
    return 0 if verdict.identical else DIFFERS


def _told(run: RunRecord, verdict: Verdict, kept: RunRecord | None, made: Room) -> Iterator[str]:
    if run.status != "done":
        yield f"this run is {run.status}; compared are the stages that it finished: {', '.join(verdict.stages)}"
    yield from _identical(run, verdict) if verdict.identical else _differs(run, verdict)
    if kept:
        yield f"kept: {short(kept.folder)} with its results, all below {short(made.path)}"
        yield f"compare their models: embedrun compare {short(run.folder)} {short(kept.folder)}"


def _identical(run: RunRecord, verdict: Verdict) -> Iterator[str]:
    counted = f"{_count(len(verdict.stages), 'stage')}, {_count(len(verdict.scores), 'score')}"
    although = [*verdict.inputs, *verdict.environment]
    yield f"{short(run.folder)}: identical ({counted}){', although:' if although else ''}"
    yield from _lines(although)


def _differs(run: RunRecord, verdict: Verdict) -> Iterator[str]:
    if verdict.first:
        yield f"{short(run.folder)}: differs, first in {verdict.first}"
        parts = {"its inputs": verdict.inputs, "its result": verdict.result, "the environment": verdict.environment}
        for name, found in parts.items():
            yield f"in {name}:{'' if found else ' nothing that the record shows'}"
            yield from _lines(found)
        yield from verdict.unknown
        later = [slot for slot, same in verdict.stages.items() if not same and slot != verdict.first]
        yield f"after it: {', '.join(later) or 'no other stage'}"
    else:
        yield f"{short(run.folder)}: every stage is identical, but not every score in its record"
    if verdict.differing:
        yield "scores:"
        yield from _lines([str(score) for score in verdict.differing])


def _lines(found: Sequence[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in found[:_MOST])
    if len(found) > _MOST:
        yield f"  … and {len(found) - _MOST} more (--json shows all)"


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _described(run: RunRecord, verdict: Verdict, kept: RunRecord | None) -> dict[str, object]:
    scores = [vars(score) for score in verdict.differing]
    return {
        "run": str(run.folder),
        "status": run.status,
        "identical": verdict.identical,
        "stages": dict(verdict.stages),
        "first": verdict.first,
        "inputs": verdict.inputs,
        "result": verdict.result,
        "environment": verdict.environment,
        "unknown": verdict.unknown,
        "scores": {"compared": len(verdict.scores), "differing": scores},
        "kept": str(kept.folder) if kept else None,
    }
