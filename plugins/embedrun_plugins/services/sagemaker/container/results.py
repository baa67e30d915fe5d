"""What a job leaves: the model that servers load, and the run with all results that were made for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from embedrun import Model, RunRecord
from embedrun.model_settings import ModelChoice
from embedrun.store import Store
from embedrun_plugins.services.sagemaker.container.channels import link
from embedrun_plugins.services.sagemaker.container.contract import Container


def leave_model(record: RunRecord, container: Container) -> None:
    """Export the run's last model, if it made one, or nothing at all. Raises UserError where it cannot be exported."""
    folder = _made(record, container)
    if folder is None:
        return
    from embedrun_plugins.models.export import export

    settings = ModelChoice.model_validate(record.recipe["model"]).settings
    try:
        export(Model(folder, settings.unsaved()), container.model)
    except BaseException:
        _clear(container.model)
        raise


def _made(record: RunRecord, container: Container) -> Path | None:
    key = next((stage.key for stage in record.stages() if stage.slot == record.last_model), None)
    return Store(container.store).out(key) if key else None


def _clear(folder: Path) -> None:
    """Empty a folder that may be a mount, and so must stay."""
    for item in folder.iterdir() if folder.is_dir() else ():
        if item.is_dir():
            shutil.rmtree(item)
        else:
            item.unlink()


def leave_results(record: RunRecord, container: Container, sent: Path | None) -> None:
    """Put all that was made here beside the run's folder, where SageMaker packs both as output.tar.gz.

    Unpacked, the two are a run and its store: `embedrun show run` and `embedrun serve run` work. `sent` is the channel
    with results that the client has already.
    """
    store, own = container.output / "store", Store(container.store)
    keys = [stage.key for stage in record.stages() if stage.key and stage.digest]
    answers = (file for file in own.answers.rglob("*") if file.is_file())
    _copy(dict.fromkeys(map(own.folder, keys)), container.store, store, sent)
    _copy(answers, container.store, store, sent)


def finalize(container: Container) -> None:
    """Give the run's folder its place, however the run ended, and the place of its results beside it."""
    for began in container.output.glob("runs/*/*/run.json"):
        shutil.rmtree(container.run, ignore_errors=True)
        began.parent.rename(container.run)
    shutil.rmtree(container.output / "runs", ignore_errors=True)
    if (container.run / "run.json").exists():
        RunRecord.read(container.run).change(store="../store")


def _copy(items: Iterable[Path], source: Path, target: Path, sent: Path | None) -> None:
    for item in items:
        name = item.relative_to(source)
        if (sent and (sent / name).exists()) or (target / name).exists():
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if item.is_dir():
            shutil.copytree(item, target / name, copy_function=link)
        else:
            link(str(item), str(target / name))
