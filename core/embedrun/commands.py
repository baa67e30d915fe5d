"""What each command of the command line does; loaded only when one runs."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

from embedrun import console as consoles
from embedrun import resources
from embedrun.artifacts import Endpoint, RetrievalSet
from embedrun.errors import UserError, suggest
from embedrun.record import RunRecord, find_run
from embedrun.registry import Registry
from embedrun.running import Loaded, Result, Settings, run_job
from embedrun.stages import KINDS, Deployer
from embedrun.store import Store


def run(arguments: Namespace) -> int:
    console = consoles.console()
    code, result, stopped = run_job(_loaded(arguments), _settings(arguments), console)
    if not arguments.json:
        print(_report(result))
    if stopped:
        console.say(str(stopped))
    console.say(f"run: {_short(result.folder)}")
    if result.record.artifact(_last_model(result.record)):
        console.say(f"serve its model: embedrun serve {_short(result.folder)}")
    if arguments.json:
        stages = [{"slot": s.slot, "key": s.key, "cached": s.cached, "seconds": s.seconds} for s in result.stages]
        print(json.dumps({"run": str(result.folder), "stages": stages, "scores": result.scores}))
    return code


def plan(arguments: Namespace) -> int:
    settings = _settings(arguments)
    loaded = _loaded(arguments)
    loaded.require()
    made = loaded.plan(settings)
    data: RetrievalSet | None = None
    rows: list[dict[str, Any]] = []
    for step, key, stored in made.forecast(Store(settings.store_folder)):
        if stored and (stored.out / "corpus.jsonl").exists():
            data = RetrievalSet(stored.out)
        status = "cached" if stored else "to run"
        takes = {} if stored or step.compares else dict(step.stage.forecast(data))
        rows.append({"slot": step.slot, "type": step.stage.type, "key": key, "status": status, "forecast": takes})
    if arguments.json:
        print(json.dumps({"model": made.base.choice.model_dump(mode="json"), "stages": rows}))
        return 0
    shown = [[r["slot"], r["type"], r["status"], ", ".join(f"{k} {v}" for k, v in r["forecast"].items())] for r in rows]
    print(consoles.table(["stage", "type", "status", ""], shown, left=True))
    return 0


def check(arguments: Namespace) -> int:
    loaded = _loaded(arguments)
    loaded.require()
    print(f"{loaded.path}: ok: {', '.join(f'{stage.kind} {stage.type}' for _, stage in loaded.recipe.stages())}")
    return 0


def schema(_: Namespace) -> int:
    from embedrun.schema import json_schema

    print(json.dumps(json_schema(Registry()), indent=2))
    return 0


def plugins(arguments: Namespace) -> int:
    from embedrun.schema import about, fields

    registry = Registry()
    found = [(kind, name, entry) for kind in KINDS for name, entry in registry.entries(kind).items()]
    if not arguments.stage:
        rows = [[kind.kind, name, str(entry.owner), about(entry)] for kind, name, entry in found]
        print(consoles.table(["key", "type", "from", ""], rows, left=True))
        return 0
    named = [(k, n, e) for k, n, e in found if arguments.stage in (n, f"{k.kind}.{n}")]
    if not named:
        raise UserError(f"{arguments.stage}: no such stage{suggest(arguments.stage, [n for _, n, _ in found])}")
    for kind, name, entry in named:
        print(f"{kind.kind}: {{type: {name}}}  ({entry.owner})\n{about(entry)}\n")
        print(consoles.table(["key", "type", "default", ""], list(fields(entry.stage)), left=True))
    return 0


def recipes(arguments: Namespace) -> int:
    shipped = resources.recipes()
    if not arguments.name:
        print(consoles.table(["recipe", ""], [[n, resources.about(p)] for n, p in shipped.items()], left=True))
        return 0
    if arguments.name not in shipped:
        raise UserError(f"{arguments.name}: no shipped recipe of that name{suggest(arguments.name, shipped)}")
    target = arguments.to or Path(f"{arguments.name}.yaml")
    text = shipped[arguments.name].read_text("utf-8")
    _write_new(target, text)
    data = [path for path in (resources.recipes_folder() / "data").glob("*") if f"data/{path.name}" in text]
    for path in data:
        copy = target.parent / "data" / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists():
            shutil.copy(path, copy)
    print(f"wrote {', '.join(map(str, [target, *(target.parent / 'data' / path.name for path in data)]))}")
    return 0


_STARTER = """\
# Fine-tune {model} on your own question-answer pairs.
# Run it:  embedrun {file}      Only check it:  embedrun check {file}
model: {model}
source:
  type: pairs
  path: {data}           # a question and the passage that answers it in each row; json, jsonl, csv or parquet
  # columns: {{anchor: question, positive: answer}}   # where they are called something else
  holdout: 0.2            # share of the questions that training never sees, nor their passages
loss: multiple_negatives_ranking
trainer:
  type: sentence_transformers
  epochs: 3
  batch_size: 32
evaluator: information_retrieval
"""


def init(arguments: Namespace) -> int:
    text = _STARTER.format(model=arguments.model, data=arguments.data, file=arguments.file)
    _write_new(arguments.file, text)
    print(f"wrote {arguments.file}; run it with: embedrun {arguments.file}")
    return 0


def show(arguments: Namespace) -> int:
    record = RunRecord.read(find_run(arguments.run, arguments.runs))
    if arguments.json:
        print(json.dumps(record.data, indent=1))
        return 0
    data = record.data
    print(f"{record.folder}: {data['status']}{': ' + data['error'] if data.get('error') else ''}")
    print("\n".join(consoles.summary(stage) for stage in record.stages()))
    print(_report(Result(record.folder, record)))
    if model := record.artifact(_last_model(record)):
        print(f"model: {_short(model)}")
    return 0


def compare(arguments: Namespace) -> int:
    from embedrun.comparing import compare_runs

    print(
        compare_runs(*(RunRecord.read(find_run(name, arguments.runs)) for name in (arguments.first, arguments.second)))
    )
    return 0


def serve(arguments: Namespace) -> int:
    from embedrun.models import named
    from embedrun.store import FileDigests

    registry = Registry()
    files = FileDigests(_settings(arguments).store_folder / "files.json")
    model = named(arguments.model, registry, files, runs=arguments.runs, offline=arguments.offline)
    options = {"device": arguments.device, "api_key_env": arguments.api_key_env}
    if not registry.hooks.hook.embedrun_serve(model=model, host=arguments.host, port=arguments.port, options=options):
        raise UserError("serve: no installed plugin brings a server")
    return 0


def delete(arguments: Namespace) -> int:
    record = RunRecord.read(find_run(arguments.run, arguments.runs))
    files = sorted((record.folder / "deployments").glob("*/endpoint.json"))
    if not files:
        print(f"{record.folder}: nothing deployed")
    context = Registry(sorted((record.folder / "plugins").glob("*.py"))).validation_context()
    for file in files:
        written = json.loads(file.read_text("utf-8"))
        endpoint = Endpoint.model_validate(written["endpoint"])
        Deployer.model_validate(written["deployer"], context=context).delete(endpoint)
        file.rename(file.with_name("deleted.json"))
        print(f"deleted {endpoint.deployer} {endpoint.url or endpoint.path or ''}")
    return 0


def gc(arguments: Namespace) -> int:
    store = Store(_settings(arguments).store_folder)
    live = {stage.key for run in store.referring() for stage in RunRecord.read(run).stages() if stage.key}
    if arguments.dry_run:
        doomed = set(store.keys()) - live
        print(f"would free {len(doomed)} results that no run refers to")
        return 0
    removed, size = store.remove_except(live)
    print(f"freed {removed} results, {size / 1e6:,.1f} MB")
    return 0


def _loaded(arguments: Namespace) -> Loaded:
    overrides = dict(_pair(text) for text in arguments.settings)
    if getattr(arguments, "on", None):
        overrides["runtime.type"] = arguments.on
    return Loaded.read(arguments.recipe, overrides)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {text}: must be KEY=VALUE, for example trainer.epochs=1")
    return key.strip(), value


def _settings(arguments: Namespace) -> Settings:
    given = {k: v for k, v in vars(arguments).items() if k in ("runs", "store", "offline", "until", "device")}
    return Settings(**given)


def _report(result: Result) -> str:
    data = result.record.data
    parts = []
    for name, scores in result.scores.items():
        metrics = list(next(iter(scores.values())))
        shown = [m for m in data.get("headlines", {}).get(name, metrics) if m in metrics]
        rows = data.get("comparisons", {}).get(name, [])
        parts.append(f"\n{name}\n{consoles.comparison_table(scores, rows, shown)}\n")
    return "".join(parts).strip("\n")


def _last_model(record: RunRecord) -> str:
    made = [stage.slot for stage in record.stages() if stage.slot in ("trainer", "merge") and not stage.error]
    return made[-1] if made else ""


def _short(path: Path) -> Path:
    return path.resolve().relative_to(Path.cwd()) if path.resolve().is_relative_to(Path.cwd()) else path


def _write_new(path: Path, text: str) -> None:
    if path.exists():
        raise UserError(f"{path}: exists already; name another file, or remove it first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
