"""What a job made, brought back: its results into the store, what it recorded into the run's folder."""

from __future__ import annotations

import contextlib
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from embedrun import RunRecord
from embedrun.errors import StageError, UserError
from embedrun.hashing import folder_files
from embedrun.job import Job
from embedrun.record import LOCK
from embedrun.store import Store
from embedrun_plugins.services import aws
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.s3 import sizes, split
from embedrun_plugins.services.sagemaker.container.archives import unpack_file
from embedrun_plugins.services.sagemaker.container.channels import import_results

_NONE = ("404", "NoSuchKey", "NoSuchBucket")
_KEPT = ("recipe.yaml", LOCK, "run.json")
"""Files of a run that a job does not change, or only in part."""
_OURS = ("plugins", "deployments")
"""Folders of a run that only this machine fills: from one code is loaded, what the other says is deleted."""
Progress = Callable[[str, float, float], None]


@dataclass(frozen=True)
class Download:
    """What one job left in its folder of S3."""

    clients: Clients
    told: Mapping[str, Any]
    """What SageMaker says of the job."""
    job: Job
    on_progress: Progress

    @property
    def base(self) -> str:
        """The folder that all of the job lies in."""
        return str(self.told["OutputDataConfig"]["S3OutputPath"]).rpartition("/")[0]

    def fetch(self) -> bool:
        """Bring back what the job left, also where it failed; return whether it left anything.

        Raises StageError or StoreError where it cannot be read; nothing is half there then.
        """
        name, store = str(self.told["TrainingJobName"]), self.job.store
        uri = f"{self.told['OutputDataConfig']['S3OutputPath']}/{name}/output/output.tar.gz"
        with self._scratch(f"{name}.fetched") as scratch:
            archive = scratch / "output.tar.gz"
            if not self._download(uri, archive):
                return False
            try:
                unpack_file(archive, scratch / "output")
            except (tarfile.TarError, EOFError, OSError) as error:
                raise StageError(f"{uri}: cannot be unpacked: {error}") from error
            archive.unlink()
            import_results(scratch / "output" / "store", store.root)
            store.refer(self.job.run_folder)
            return _recorded(scratch / "output" / "run", self.job.run_folder)

    def complete(self) -> list[str]:
        """Bring back, too, what the job was sent or had from an earlier one; return the steps whose result is missing.

        So it is where the store is another one than the job's recipe was sent from.
        """
        tried: set[str] = set()
        while True:
            left = self.job.left()
            wanted = {step.key for step in left if step.key} - tried
            if not wanted:
                return [step.slot for step in left]
            for key in wanted:
                tried.add(key)
                self._entry(key)

    def _entry(self, key: str) -> None:
        """Bring one result of the store back, from where the job had it."""
        for store in ("checkpoints/store", "store"):
            folder = Store.relative(key)
            uri = f"{self.base}/{store}/{folder}/"
            bucket, prefix = split(uri)
            files = sizes(self.clients, uri)
            if f"{prefix}manifest.json" not in files:
                continue
            with self._scratch(f"{key}.fetched") as scratch:
                for name in files:
                    file = scratch / folder / name.removeprefix(prefix)
                    if not file.resolve().is_relative_to((scratch / folder).resolve()):
                        raise StageError(f"s3://{bucket}/{name}: is called so that it would lie in another folder")
                    self._download(f"s3://{bucket}/{name}", file)
                import_results(scratch, self.job.store.root)
            return

    @contextlib.contextmanager
    def _scratch(self, name: str) -> Iterator[Path]:
        """Lend a folder that no other command uses, and that garbage collection leaves."""
        folder = self.job.store.root / "tmp" / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{name}.lock")):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _download(self, uri: str, file: Path) -> bool:
        from boto3.exceptions import Boto3Error

        bucket, key = split(uri)
        head = self.clients.find("s3", "head_object", _NONE, Bucket=bucket, Key=key)
        if head is None:
            return False
        size, got = float(head["ContentLength"]), [0]

        def progress(count: int) -> None:
            got[0] += count
            self.on_progress("downloading, bytes", got[0], size)

        file.parent.mkdir(parents=True, exist_ok=True)
        with aws.explained("s3"):
            try:
                self.clients("s3").download_file(bucket, key, str(file), Callback=progress)
            except Boto3Error as error:
                raise StageError(f"s3: {uri} cannot be downloaded: {error}") from error
        return True


def _recorded(there: Path, here: Path) -> bool:
    """Take over how the run went there."""
    try:
        record = RunRecord.read(there)
    except UserError:
        return False
    for name, file in folder_files(there).items():
        if name not in _KEPT and name.partition("/")[0] not in _OURS:
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, here / name)
    RunRecord.read(here).take_over(record)
    return True
