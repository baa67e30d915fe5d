"""What a job made, brought back: its results into the store, what it recorded into the run's folder."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from embedrun import RunRecord
from embedrun.errors import StageError
from embedrun.hashing import folder_files
from embedrun.runtimes import Job
from embedrun_plugins import aws
from embedrun_plugins.ledger.clients import Clients
from embedrun_plugins.ledger.storage import split
from embedrun_plugins.sagemaker.channels import bring_in

_NONE = ("404", "NoSuchKey", "NoSuchBucket")
_OURS = ("store", "started", "command", "plugins", "name", "image", "job")
"""What of a record is this machine's."""
_KEPT = ("recipe.yaml", "recipe.lock.json", "run.json")
"""Files of a run that a job does not change, or only in part."""


def fetch(
    clients: Clients, told: Mapping[str, Any], job: Job, on_progress: Callable[[str, float, float], None]
) -> bool:
    """Bring back what a job left, also where it failed; return whether it left anything.

    Raises StageError where it cannot be read; nothing is half there then.
    """
    name = str(told["TrainingJobName"])
    uri = f"{told['OutputDataConfig']['S3OutputPath']}/{name}/output/output.tar.gz"
    scratch = job.store.root / "tmp" / f"{name}.fetched"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        archive = scratch / "output.tar.gz"
        if not _download(clients, uri, archive, on_progress):
            return False
        _unpack(archive, scratch / "output", uri)
        bring_in(scratch / "output" / "store", job.store.root)
        return _recorded(scratch / "output" / "run", job.run_folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download(clients: Clients, uri: str, file: Path, on_progress: Callable[[str, float, float], None]) -> bool:
    from boto3.exceptions import Boto3Error

    bucket, key = split(uri)
    found = clients.find("s3", "head_object", _NONE, Bucket=bucket, Key=key)
    if found is None:
        return False
    size, got = float(found["ContentLength"]), [0]

    def progress(count: int) -> None:
        got[0] += count
        on_progress("downloading, bytes", got[0], size)

    with aws.explained("s3"):
        try:
            clients("s3").download_file(bucket, key, str(file), Callback=progress)
        except Boto3Error as error:
            raise StageError(f"s3: {uri} cannot be downloaded: {error}") from error
    return True


def _unpack(archive: Path, folder: Path, uri: str) -> None:
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise StageError(f"{uri}: cannot be unpacked: {error}") from error
    archive.unlink()


def _recorded(there: Path, here: Path) -> bool:
    """Take over how the run went there."""
    try:
        told = json.loads((there / "run.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    for name, file in folder_files(there).items():
        if name not in _KEPT:
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, here / name)
    record = RunRecord.read(here)
    record.data = {**told, **{name: record.data[name] for name in _OURS if name in record.data}}
    record.save()
    return True
