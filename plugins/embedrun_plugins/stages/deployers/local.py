"""Serve the model from this machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field

from embedrun import deployments
from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context, RunRef, Unkeyed
from embedrun.errors import StageError, UserError
from embedrun.rehearsal import Rehearsal
from embedrun_plugins.models.serving.limits import CLIENT_TEXTS, ServerLimits
from embedrun_plugins.services.credentials import VariableName
from embedrun_plugins.services.endpoints.transports import Transport
from embedrun_plugins.services.foreign_output import shown
from embedrun_plugins.stages.deployers.endpoint_deployer import AnsweringDeployer
from embedrun_plugins.stages.rehearsal.stand_ins import changed

if TYPE_CHECKING:
    from embedrun_plugins.stages.deployers.background_process import Process

PASSED_ON = frozenset(["PATH", "HOME", "LANG", "TMPDIR", "TZ", "VIRTUAL_ENV", "HF_HOME", "HF_HUB_OFFLINE"])
PASSED_ON_PREFIXES = ("PYTHON", "LC_", "LD_", "DYLD_", "CUDA", "NVIDIA", "OMP_", "MKL_", "TORCH")


class LocalServer(AnsweringDeployer):
    """Starts a server on this machine, in the background, and checks that it answers with the model's own vectors."""

    type: Literal["local"] = "local"
    seeded = False
    packages: ClassVar[Mapping[str, str]] = {"starlette": "serve", "uvicorn": "serve"}
    host: str = "127.0.0.1"
    """Address to listen on. Any but this machine's own can be reached from outside; then set `api_key_env` too."""
    port: int = Field(8080, ge=0, le=65535)
    """Port to listen on; 0 takes one that is free."""
    api_key_env: VariableName | None = None
    """Environment variable that holds the key which clients must send; by default none is asked for."""
    client_batch_size: Annotated[int, Unkeyed, Field(ge=1)] = CLIENT_TEXTS
    """Texts that one request may hold. Some clients, such as Chroma's and LangChain's, send all of theirs at once."""
    device: Annotated[str | None, Unkeyed] = None
    """torch device that it runs on; by default the run's."""
    timeout: Annotated[float, Unkeyed, Field(gt=0)] = 300.0
    """Seconds that it may take to start."""

    def run(self, ctx: Context, model: Model) -> Endpoint:
        from embedrun_plugins.models.serving.listener import is_loopback
        from embedrun_plugins.stages.deployers.background_process import Process

        self._free_port(ctx)  # a taken port is said now and in one line, not by the server's log
        if self.api_key_env is None and not is_loopback(self.host):
            ctx.warn(f"{self.host} can be reached from other machines, and no API key is required (api_key_env)")
        ctx.out.mkdir(parents=True, exist_ok=True)
        (ctx.out / "url").unlink(missing_ok=True)
        server = Process.start(self._command(ctx, model), self._environment(), ctx.out / "server.log")
        try:
            details = {"pid": server.pid, "started": server.started}
            return self.proven(ctx, Endpoint(deployer=self.type, url=self._wait(ctx, server), details=details), model)
        except BaseException:
            server.stop()
            raise

    def faults(self) -> Iterable[str]:
        """Miss the key and the port now, not when everything is trained."""
        from embedrun_plugins.models.serving.listener import listen
        from embedrun_plugins.stages.deployers.background_process import serving_on

        if self.api_key_env and not os.environ.get(self.api_key_env):
            yield f"api_key_env: the environment variable {self.api_key_env} is not set, or empty"
        try:
            listen(self.host, self.port).close()
        except UserError as error:
            if not serving_on(self.port):  # an earlier run's server makes room
                yield str(error)

    def rehearsal(self, rehearsal: Rehearsal) -> LocalServer:
        return on_free_port(self, rehearsal)

    def transport(self, endpoint: Endpoint) -> Transport:
        from embedrun_plugins.services.addresses import reachable
        from embedrun_plugins.services.endpoints.http_transport import HttpTransport, Key

        return HttpTransport(reachable(endpoint.url or ""), Key(variable=self.api_key_env))

    def delete(self, endpoint: Endpoint) -> None:
        """End the server's process; a process that merely has its number by now is left alone."""
        from embedrun_plugins.stages.deployers.background_process import Process

        Process(int(endpoint.details["pid"]), float(endpoint.details["started"])).stop()

    def _free_port(self, ctx: Context) -> None:
        """End the server of an earlier run of the same recipe, if that is what holds the port.

        Raises UserError where anything else does.
        """
        from embedrun_plugins.models.serving.listener import listen

        try:
            listen(self.host, self.port).close()
        except UserError:
            for run, endpoint in _earlier(ctx, self.type):
                if urlsplit(endpoint.url or "").port == self.port:
                    self.delete(endpoint)
                    ctx.note("replaced", f"the server of {run}")
            listen(self.host, self.port).close()

    def _command(self, ctx: Context, model: Model) -> list[str]:
        command = [sys.executable, "-m", "embedrun_plugins.models.serving", str(model.path.absolute())]
        command += ["--host", self.host, "--port", str(self.port), "--url-file", str(ctx.out.absolute() / "url")]
        command += ["--settings", model.settings.model_dump_json(exclude_defaults=True)]
        command += [
            "--limits",
            ServerLimits(max_client_batch_size=self.client_batch_size).model_dump_json(exclude_defaults=True),
        ]
        command += ["--starter", str(os.getpid()), "--record", str(ctx.out.absolute().parent / deployments.ENDPOINT)]
        command += _option("--name", ctx.run and ctx.run.id)
        return [*command, *_option("--device", self.device or ctx.device), *_option("--api-key-env", self.api_key_env)]

    def _api_key(self) -> str | None:
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env)
        if not key:
            raise UserError(f"deployer.api_key_env: the environment variable {self.api_key_env} is not set, or empty")
        return key

    def _environment(self) -> dict[str, str]:
        """Return what the server needs of this environment, and no token of any hub or cloud."""
        passed = {k: v for k, v in os.environ.items() if k in PASSED_ON or k.startswith(PASSED_ON_PREFIXES)}
        key = self._api_key()
        return passed | ({self.api_key_env: key} if self.api_key_env and key else {})

    def _wait(self, ctx: Context, server: Process) -> str:
        deadline = time.monotonic() + self.timeout
        while not (ctx.out / "url").exists():
            late = time.monotonic() > deadline
            if late or not server.is_running():
                reason = f"did not answer within {self.timeout:g} s (timeout)" if late else "ended before it answered"
                raise StageError(f"the server {reason}; its log ends:\n{_tail(ctx.out / 'server.log')}")
            ctx.progress("starting the server", 0, None)
            time.sleep(0.1)
        return (ctx.out / "url").read_text("utf-8")


def _option(name: str, value: Any) -> list[str]:
    return [] if value is None else [name, str(value)]


def _tail(log: Path, lines: int = 12) -> str:
    return shown("\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:]))


def on_free_port(stage: LocalServer, rehearsal: Rehearsal) -> LocalServer:
    rehearsal.note("on a free port of this machine, and stopped afterwards")
    latency = stage.latency and stage.latency.briefly()
    return changed(stage, host="127.0.0.1", port=0, device="cpu", latency=latency)


def _earlier(ctx: Context, deployer: str) -> Iterator[tuple[str, Endpoint]]:
    """Yield what other runs of the same recipe deployed by one kind of deployer and still have, with their ids."""
    for folder in sorted(ctx.run.folder.parent.iterdir()) if ctx.run else ():
        for file in deployments.files(folder):
            try:
                endpoint = deployments.read(file)
            except (OSError, ValueError, KeyError, TypeError):
                continue  # a damaged record of another run is no reason to stop this one
            if ctx.run and folder != ctx.run.folder and endpoint.deployer == deployer:
                yield RunRef(folder).id, endpoint
