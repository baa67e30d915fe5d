"""Getting the model into S3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedrun.errors import EmbedrunError, UserError
from embedrun_plugins.services import aws
from embedrun_plugins.services.ledger.aws_clients import Clients, is_about
from embedrun_plugins.services.ledger.ledger import LedgerEntry, Location, Resource
from embedrun_plugins.services.ledger.resources import BUCKET, S3
from embedrun_plugins.services.ledger.s3 import split
from embedrun_plugins.services.sagemaker.names import default_bucket

PART_BYTES = 64 * 2**20
"""From this size on a file goes up in several parts at once."""
_NONE = ("404", "NoSuchBucket")
_OURS_ALREADY = ("BucketAlreadyOwnedByYou",)


@dataclass(frozen=True)
class Storage:
    """The bucket of one deployment."""

    clients: Clients
    place: Location
    entry: LedgerEntry
    bucket: str | None
    """The one that is given; by default SageMaker's own, made if it is not there."""

    @property
    def name(self) -> str:
        return self.bucket or default_bucket(self.place.region, self.place.account)

    def open(self) -> None:
        """Make sure of the bucket. Raises UserError where it is not there, or not this account's."""
        exists = self._find()
        if exists or self.bucket is None:
            if not exists:
                self._make()
            return
        raise UserError(f"bucket: there is no bucket '{self.bucket}'; make it first, in {self.place.region}")

    def upload(self, file: Path, uri: str, on_progress: Callable[[float, float], None]) -> None:
        """Upload a file, in several parts at once where it is large."""
        self.entry.add(Resource(kind=S3, name=uri))
        sent, size = [0], file.stat().st_size

        def progress(count: int) -> None:
            sent[0] += count
            on_progress(sent[0], size)

        self.send(file, uri, progress)

    def send(self, file: Path, uri: str, on_bytes: Callable[[int], None]) -> None:
        """Upload a file to a place that is in the ledger already."""
        from boto3.exceptions import Boto3Error
        from boto3.s3.transfer import TransferConfig

        bucket, key = split(uri)
        config = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)
        client = self.clients("s3")
        with aws.explained("s3"):
            try:
                client.upload_file(str(file), bucket, key, ExtraArgs=self._owner(), Config=config, Callback=on_bytes)
            except Boto3Error as error:  # which wraps what the others raise
                raise (error.__context__ if isinstance(error.__context__, Exception) else error) from None

    def _owner(self) -> dict[str, str]:
        """Have S3 refuse a default bucket of somebody else's: names of buckets are anyone's to take."""
        return {} if self.bucket else {"ExpectedBucketOwner": self.place.account}

    def _find(self) -> bool:
        try:
            bucket = self.clients.find("s3", "head_bucket", _NONE, Bucket=self.name, **self._owner())
        except EmbedrunError as error:
            if is_about(error, ("403",)):
                raise UserError(
                    f"bucket: '{self.name}' may not be used with these credentials, or belongs to another account"
                ) from error
            raise
        return bucket is not None

    def _make(self) -> None:
        configuration: dict[str, Any] = {}
        if self.place.region != "us-east-1":  # which S3 takes for granted, and refuses to be told
            configuration = {"CreateBucketConfiguration": {"LocationConstraint": self.place.region}}
        self.entry.add(Resource(kind=BUCKET, name=self.name))
        self.clients.find("s3", "create_bucket", _OURS_ALREADY, Bucket=self.name, **configuration)
