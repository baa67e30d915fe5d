"""embedrun's own image in ECR, where SageMaker takes it from."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from embedrun import RunRecord
from embedrun.errors import StageError, UserError
from embedrun.job import Job
from embedrun_plugins.services import remote_run
from embedrun_plugins.services.docker import engine
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.ledger import Ledger, LedgerEntry, Location, Resource
from embedrun_plugins.services.ledger.resources import IMAGE, REPOSITORY

if TYPE_CHECKING:
    from embedrun_plugins.services.docker import Description
    from embedrun_plugins.stages.runtimes.sagemaker_job.options import JobOptions

_NONE = ("ImageNotFoundException", "RepositoryNotFoundException")
_EXISTS = ("RepositoryAlreadyExistsException",)
_ARCHITECTURE = "amd64"
Progress = Callable[[str, float, float | None], None]


def image(stage: JobOptions, job: Job, clients: Clients, location: Location, ledger: Ledger) -> str:
    """Return the image to run by its digest, pushed if ECR has it not, or the one that is named; note which it is.

    Raises UserError where there is none and none can be built here, StageError where it cannot be pushed.
    """
    uri = stage.image or _own(stage, job, clients, location, ledger)
    image = {"reference": uri, "id": None, "digest": uri if "@sha256:" in uri else None}
    RunRecord.read(job.run_folder).change(image=image)
    return uri


def _own(stage: JobOptions, job: Job, clients: Clients, location: Location, ledger: Ledger) -> str:
    from embedrun_plugins.services import docker
    from embedrun_plugins.services.docker.requirements import NEVER

    extras = remote_run.extras(job) - NEVER
    tag = docker.wanted(extras, stage.base_image).partition(":")[2]
    pushing = EcrImage(clients, stage.repository, tag)
    if uri := pushing.find():
        return uri
    with contextlib.closing(engine.client()) as client:
        _require(engine.architecture(client))
        built = docker.provided(client, None, extras, stage.base_image, job.console.say)
        entry = _entry(ledger, location, Resource(kind=IMAGE, name=f"{stage.repository}:{tag}"), job)
        job.console.say(f"pushing {built.size / 1e9:.1f} GB to ECR, once for this version …")
        return pushing.push(client, built, entry, job.console.progress)


def _require(architecture: str) -> None:
    if architecture != _ARCHITECTURE:
        raise UserError(
            f"runtime.image: what is built here is for {architecture}, and SageMaker's machines are {_ARCHITECTURE}; "
            "build it on such a machine, push it, and name it"
        )


def _entry(ledger: Ledger, location: Location, image: Resource, job: Job) -> LedgerEntry:
    """Return the image's place in the ledger, which an earlier try to push it may have begun."""
    for entry, record in ledger.entries([]):
        if image in record.resources and (record.place.account, record.place.region) == (
            location.account,
            location.region,
        ):
            return entry
    return ledger.open(
        run=job.run.id,
        hours=None,
        folder=str(job.run_folder),
        deployer="sagemaker (image)",
        place=location,
        usd_per_hour=0.0,
    )


class EcrImage:
    """One image's place in ECR."""

    def __init__(self, clients: Clients, repository: str, tag: str) -> None:
        self.clients, self.repository, self.tag = clients, repository, tag

    def find(self) -> str | None:
        """Return the image by its digest, if it is there."""
        wanted = {"repositoryName": self.repository, "imageIds": [{"imageTag": self.tag}]}
        answer = self.clients.find("ecr", "describe_images", _NONE, **wanted)
        if not answer or not answer["imageDetails"]:
            return None
        return f"{self._uri()}@{answer['imageDetails'][0]['imageDigest']}"

    def _uri(self) -> str:
        answer = self.clients.call("ecr", "describe_repositories", repositoryNames=[self.repository])
        return str(answer["repositories"][0]["repositoryUri"])

    def push(self, client: Any, built: Description, entry: LedgerEntry, on_progress: Progress) -> str:
        """Push an image of the engine; return it by its digest.

        Raises UserError where SageMaker could not run it, StageError where ECR or the engine does not take it.
        """
        _require(built.architecture)
        self._make(entry)
        uri = self._uri()
        entry.add(Resource(kind=IMAGE, name=f"{self.repository}:{self.tag}"))
        login = self._login()
        with engine.answering("runtime", "and the image is not pushed"):
            client.api.tag(built.id, uri, self.tag, force=True)
            try:
                for step in client.api.push(uri, self.tag, stream=True, decode=True, auth_config=login):
                    if "error" in step:
                        raise StageError(f"ECR: {uri} refuses the image: {step['error']}")
                    detail = step.get("progressDetail") or {}
                    if detail.get("total"):
                        on_progress(f"pushing {step.get('id', '')}, bytes", detail["current"], detail["total"])
            finally:
                with contextlib.suppress(Exception):  # the tag is a name only
                    client.api.remove_image(f"{uri}:{self.tag}", noprune=True)
        if pushed := self.find():
            return pushed
        raise StageError(f"ECR: {uri}:{self.tag} was pushed, but is not there")

    def _make(self, entry: LedgerEntry) -> None:
        """Make the repository, unless it is there: then it is not ours to remove, and its users may not make any."""
        if self.clients.find("ecr", "describe_repositories", _NONE, repositoryNames=[self.repository]):
            return
        repository = Resource(kind=REPOSITORY, name=self.repository)
        entry.add(repository)
        if self.clients.find("ecr", "create_repository", _EXISTS, repositoryName=self.repository) is None:
            entry.drop(repository)

    def _login(self) -> dict[str, str]:
        """Return what the engine logs in with; it is given with the request and written nowhere."""
        authorization = self.clients.call("ecr", "get_authorization_token")["authorizationData"][0]
        name, _, password = base64.b64decode(authorization["authorizationToken"]).decode().partition(":")
        return {"username": name, "password": password}
