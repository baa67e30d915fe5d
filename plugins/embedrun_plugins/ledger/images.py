"""Images in ECR."""

from __future__ import annotations

from embedrun.errors import StageError
from embedrun_plugins.ledger.clients import Clients

_GONE = ("ImageNotFoundException", "RepositoryNotFoundException")
_NOT_EMPTY = ("RepositoryNotEmptyException",)


def remove_image(clients: Clients, name: str) -> None:
    """Remove REPOSITORY:TAG. Raises StageError where ECR keeps it."""
    repository, _, tag = name.partition(":")
    wanted = {"repositoryName": repository, "imageIds": [{"imageTag": tag}]}
    answer = clients.find("ecr", "batch_delete_image", _GONE, **wanted) or {}
    for failure in answer.get("failures") or ():
        if failure["failureCode"] != "ImageNotFound":
            raise StageError(f"ECR: {failure['failureReason']}")


def remove_repository(clients: Clients, name: str) -> None:
    """Remove a repository that was made for an image, unless it holds others by now."""
    clients.find("ecr", "delete_repository", (*_GONE, *_NOT_EMPTY), repositoryName=name)
