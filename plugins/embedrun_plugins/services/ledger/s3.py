"""Objects in S3: all of their versions, and what of them was only half uploaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from embedrun.errors import EmbedrunError, StageError
from embedrun_plugins.services.ledger.aws_clients import Clients, is_about

_GONE = ("NoSuchBucket", "NoSuchKey", "NoSuchUpload", "404")
_DENIED = ("AccessDenied", "AccessDeniedException")
_NOT_EMPTY = ("BucketNotEmpty",)


def split(uri: str) -> tuple[str, str]:
    """Return bucket and key of s3://BUCKET/KEY."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def remove_objects(clients: Clients, uri: str) -> None:
    """Remove an object, or all below a folder (a name that ends with a slash).

    In a bucket with versions a plain deletion only hides what goes on to cost; an upload that broke off is in no
    listing of objects.
    """
    bucket, key = split(uri)
    for upload in _uploads(clients, bucket, key):
        clients.find("s3", "abort_multipart_upload", _GONE, Bucket=bucket, **upload)
    versions = _versions(clients, bucket, key)
    for name, version in versions if versions is not None else _names(clients, bucket, key):
        chosen = {"VersionId": version} if version not in (None, "null") else {}
        clients.find("s3", "delete_object", _GONE, Bucket=bucket, Key=name, **chosen)


def remove_bucket(clients: Clients, bucket: str) -> None:
    """Remove a bucket that was made for a deployment, unless somebody else uses it by now."""
    clients.find("s3", "delete_bucket", (*_GONE, *_NOT_EMPTY), Bucket=bucket)


def sizes(clients: Clients, uri: str) -> dict[str, int]:
    """Return the bytes of each object below a folder, by its key."""
    bucket, key = split(uri)
    pages = _pages(clients, "list_objects_v2", bucket, key, {"ContinuationToken": "NextContinuationToken"})
    return {item["Key"]: int(item["Size"]) for page in pages for item in page.get("Contents") or ()}


def _is_meant(name: str, key: str) -> bool:
    return name.startswith(key) if key.endswith("/") else name == key


def _uploads(clients: Clients, bucket: str, key: str) -> list[dict[str, str]]:
    try:
        answer = clients.find("s3", "list_multipart_uploads", _GONE, Bucket=bucket, Prefix=key) or {}
    except EmbedrunError as error:
        if is_about(error, _DENIED):  # who may not list uploads may still delete
            return []
        raise
    uploads = answer.get("Uploads") or ()
    return [
        {"Key": upload["Key"], "UploadId": upload["UploadId"]} for upload in uploads if _is_meant(upload["Key"], key)
    ]


def _versions(clients: Clients, bucket: str, key: str) -> list[tuple[str, str | None]] | None:
    """Return names and versions; None where they may not be listed."""
    try:
        pages = list(_pages(clients, "list_object_versions", bucket, key, {"KeyMarker": "NextKeyMarker"}))
    except EmbedrunError as error:
        if is_about(error, _DENIED):
            return None
        raise
    listed = [item for page in pages for group in ("Versions", "DeleteMarkers") for item in page.get(group) or ()]
    return [(item["Key"], item.get("VersionId")) for item in listed if _is_meant(item["Key"], key)]


def _names(clients: Clients, bucket: str, key: str) -> list[tuple[str, str | None]]:
    if not key.endswith("/"):
        return [(key, None)]
    pages = _pages(clients, "list_objects_v2", bucket, key, {"ContinuationToken": "NextContinuationToken"})
    return [(item["Key"], None) for page in pages for item in page.get("Contents") or ()]


def _pages(clients: Clients, operation: str, bucket: str, key: str, marks: dict[str, str]) -> Iterator[dict[str, Any]]:
    where: dict[str, str] = {}
    while True:
        page = clients.find("s3", operation, _GONE, Bucket=bucket, Prefix=key, **where) or {}
        yield page
        if not page.get("IsTruncated"):
            return
        where = {parameter: page[next_key] for parameter, next_key in marks.items()}
        if "NextVersionIdMarker" in page:
            where["VersionIdMarker"] = page["NextVersionIdMarker"]


_NO_IMAGE = ("ImageNotFoundException", "RepositoryNotFoundException")
_IMAGES_LEFT = ("RepositoryNotEmptyException",)


def remove_image(clients: Clients, name: str) -> None:
    """Remove REPOSITORY:TAG. Raises StageError where ECR keeps it."""
    repository, _, tag = name.partition(":")
    wanted = {"repositoryName": repository, "imageIds": [{"imageTag": tag}]}
    answer = clients.find("ecr", "batch_delete_image", _NO_IMAGE, **wanted) or {}
    for failure in answer.get("failures") or ():
        if failure["failureCode"] != "ImageNotFound":
            raise StageError(f"ECR: {failure['failureReason']}")


def remove_repository(clients: Clients, name: str) -> None:
    """Remove a repository that was made for an image, unless it holds others by now."""
    clients.find("ecr", "delete_repository", (*_NO_IMAGE, *_IMAGES_LEFT), repositoryName=name)
