"""Running in a container on the local engine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from embedrun import InputPath, RunRecord, Runtime, StageError, deployments
from embedrun.job import Job
from embedrun_plugins.services import remote_run
from embedrun_plugins.services.credentials import VariableName
from embedrun_plugins.services.docker import environment, gpus
from embedrun_plugins.services.docker.mounts import Bind, binds
from embedrun_plugins.services.docker.sizes import Size, bytes_of

if TYPE_CHECKING:
    from embedrun_plugins.services.docker.events import ContainerExit


class Mount(BaseModel):
    """A file or folder of this machine that a container sees."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: InputPath
    """Path on this machine: from the recipe's folder if it is there, else from the current one."""
    at: Path | None = None
    """Path in the container; by default the same."""
    writable: bool = False
    """Whether the container may change it."""


def _mounted(value: Any) -> Any:
    return {"path": value} if isinstance(value, (str, Path)) else value


class DockerRuntime(Runtime):
    """A container on this machine's engine, with GPUs where there are any.

    It sees the recipe's data, the store and the run's folder at their own paths and nothing else, runs as you, and
    ends with the command. Everything but deploying happens in it: deployers need credentials, ports or the engine
    itself, and run here once the model is made. Its root cannot be written, it has no capabilities and cannot gain
    any, and no network unless a stage talks to a service. What the hub holds is downloaded here before.
    """

    type: Literal["docker"] = "docker"
    packages: ClassVar[Mapping[str, str]] = {"docker": "docker"}
    image: str | None = Field(None, min_length=1)
    """Image to run in, pulled where it is missing; `name@sha256:…` pins it. By default the one that
    `embedrun image build` makes of what is installed, built where it is missing."""
    base_image: str | None = Field(None, min_length=1)
    """What an image that is built here starts from; by default $EMBEDRUN_BASE_IMAGE, else a CUDA base."""
    gpus: Literal["all", "none"] | Annotated[int, Field(ge=0)] | tuple[int | str, ...] | None = None
    """GPUs: all, none, how many, or a list of their numbers or ids. By default all that the machine has."""
    memory: Size | None = None
    """Most memory, as in 8g; by default the machine's."""
    cpus: float | None = Field(None, gt=0)
    """Most CPUs, as in 2 or 0.5; by default the machine's."""
    shm_size: Size = "1g"
    """Shared memory, through which several processes exchange batches."""
    tmp_size: Size = "4g"
    """Most that /tmp takes, in memory."""
    pids: int = Field(4096, ge=16)
    """Most processes and threads."""
    network: Literal["none", "bridge", "host"] | None = None
    """Network: none, bridge or the machine's own (host). By default none, unless a stage talks to a service: then a
    bridge, or the machine's own where the service is on this machine."""
    mounts: tuple[Annotated[Mount, BeforeValidator(_mounted)], ...] = ()
    """Other files and folders to see: paths, or {path, at, writable}."""
    env: tuple[VariableName, ...] = ()
    """Environment variables to pass on, by name. Those that the recipe's stages name are passed anyway."""

    def faults(self) -> Iterable[str]:
        if os.name == "nt":
            yield "runs on Linux and macOS; on Windows, use it inside WSL"
        for index, mount in enumerate(self.mounts):
            if not mount.path.exists():
                yield f"mounts.{index}: {mount.path}: no such file or folder"
        for name in self.env:
            if name not in os.environ:
                yield f"env: the environment variable {name} is not set"

    def run(self, job: Job) -> int:
        from embedrun_plugins.services.docker import engine
        from embedrun_plugins.services.docker import run as attached

        secrets = environment.secrets(job, self.env)
        with contextlib.closing(engine.client()) as client:
            with engine.answering("runtime"):
                info = client.info()
            ending = attached.execute(client, self._options(job, client, info), secrets)
        if trouble := self._trouble(ending, job, info):
            raise StageError(trouble)
        return ending.code

    def _options(self, job: Job, client: Any, info: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the engine is asked for, once all is here that the container needs."""
        network = environment.network(job, self.network)
        caches, models = environment.download(job), environment.copies(job)
        seen = replace(job, inputs=[*job.inputs, *(model.path for model in models)])
        more = [Bind(mount.path, mount.at or mount.path, writable=mount.writable) for mount in self.mounts]
        job.store.root.mkdir(parents=True, exist_ok=True)
        (job.run_folder / deployments.FOLDER).mkdir(exist_ok=True)
        offline = ["--offline"] if job.offline or network == "none" else []
        chosen = gpus.chosen(self.gpus, info)
        return {
            **self._limits(),
            **environment.user(info),
            "image": self._image(job, client),
            "entrypoint": ["python3", "-m", "embedrun_plugins.services.docker.entrypoint"],
            "command": [*job.arguments, *offline],
            "network_mode": network,
            "mounts": [_docker_mount(bind) for bind in binds(seen, caches.values(), more)],
            "device_requests": gpus.request(chosen),
            "environment": environment.variables(caches, models, self.cpus) | gpus.variables(chosen),
        }

    def _limits(self) -> dict[str, Any]:
        """Return what keeps the container from doing anything to the machine."""
        options: dict[str, Any] = {
            "read_only": True,
            "tmpfs": {"/tmp": f"rw,nosuid,nodev,exec,mode=1777,size={bytes_of(self.tmp_size)}"},  # noqa: S108
            "working_dir": "/tmp",  # noqa: S108
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "pids_limit": self.pids,
            "shm_size": bytes_of(self.shm_size),
            "init": True,
            "healthcheck": {"test": ["NONE"]},
            "labels": {"embedrun": "run"},
        }
        if self.memory:
            options |= {"mem_limit": bytes_of(self.memory), "memswap_limit": bytes_of(self.memory)}
        if self.cpus:
            options["nano_cpus"] = int(self.cpus * 1e9)
        return options

    def _image(self, job: Job, client: Any) -> str:
        """Return the id of the image to run, built or pulled if need be, and write down which it is."""
        from embedrun_plugins.services import docker

        described = docker.provided(client, self.image, remote_run.extras(job), self.base_image, job.console.say)
        image = {"reference": described.reference, "id": described.id, "digest": described.digest}
        RunRecord.read(job.run_folder).change(image=image)
        return described.id

    def _trouble(self, ending: ContainerExit, job: Job, info: Mapping[str, Any]) -> str | None:
        """Say what ended the container, if it was not its own doing."""
        done = {stage.slot for stage in RunRecord.read(job.run_folder).stages() if not stage.error}
        at = next((f" in {step.slot}" for step in job.forecast() if step.slot not in done), "")
        if ending.out_of_memory:
            most = self.memory or f"{info.get('MemTotal', 0) / 2**30:.0f} GiB, all that the machine has,"
            return f"ran out of memory and was killed at {most}{at}: lower batch_size, or raise memory (runtime.memory)"
        if ending.killed:
            return f"the container was stopped from outside ({', '.join(ending.signals)}){at}; {remote_run.AGAIN}"
        return None


def _docker_mount(bind: Bind) -> Any:
    from docker.types import Mount as DockerMount

    return DockerMount(str(bind.at), str(bind.path), type="bind", read_only=not bind.writable)
