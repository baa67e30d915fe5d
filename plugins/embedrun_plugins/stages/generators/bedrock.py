"""Questions by a language model of Amazon Bedrock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from embedrun.context import Unkeyed
from embedrun.rehearsal import Rehearsal
from embedrun_plugins.services import aws
from embedrun_plugins.services.addresses import Address, is_local
from embedrun_plugins.services.language_models.bedrock_converse import Converse
from embedrun_plugins.services.language_models.llm_service import Request
from embedrun_plugins.services.language_models.prices import TokenPrice, bedrock_price
from embedrun_plugins.services.language_models.request_runner import RequestRunner
from embedrun_plugins.stages.generators.bedrock_batch import FEWEST, PRICE_SHARE, Batch, Batches
from embedrun_plugins.stages.generators.language_model import LanguageModel
from embedrun_plugins.stages.generators.rehearsal import Questions, note_unasked
from embedrun_plugins.stages.rehearsal.stand_ins import note_missing_aws, standing_in

RUNTIME = "bedrock-runtime"


class Bedrock(LanguageModel):
    """Asks a language model of Amazon Bedrock, through the Converse API, for questions that each passage answers.

    Credentials are found as boto3 finds them. Throttled requests are tried again with growing pauses. Every reply is
    kept as soon as it is there: a run that was interrupted pays only for what is missing, and a second run for
    nothing. With `batch`, a large corpus is asked about in batch jobs, at half the price, within a day.
    """

    type: Literal["bedrock"] = "bedrock"
    packages: ClassVar[Mapping[str, str]] = {"boto3": "bedrock"}
    model: str = Field("meta.llama3-70b-instruct-v1:0", min_length=1)
    """Id of the model, or of an inference profile, such as us.anthropic.claude-3-5-haiku-20241022-v1:0."""
    region: Annotated[str | None, Unkeyed] = None
    """AWS region; by default that of the environment or the profile."""
    profile: Annotated[str | None, Unkeyed] = None
    """Profile of the AWS configuration whose credentials are used; by default that of the environment."""
    endpoint_url: Annotated[Address | None, Unkeyed] = None
    """Address of the service, for a private endpoint or a test; by default AWS_ENDPOINT_URL_BEDROCK_RUNTIME, then
    AWS's own."""
    batch: Annotated[Batch | None, Unkeyed] = None
    """How to ask in batch jobs: {s3_uri: …, role_arn: …}. By default requests are sent one by one."""

    def connect(self) -> Converse:
        client = aws.client(
            RUNTIME,
            region=self.region,
            endpoint_url=self.endpoint_url,
            profile=self.profile,
            connections=self.concurrency,
        )
        return Converse(client)

    def known_price(self) -> TokenPrice | None:
        return self.price or bedrock_price(self.model)

    def price_share(self) -> float:
        return PRICE_SHARE if self.batch else 1.0

    def stays_here(self) -> bool:
        return self.batch is None and all(is_local(url) for url in self.reaches())

    def reaches(self) -> Iterable[str]:
        yield aws.address(RUNTIME, region=self.region, endpoint_url=self.endpoint_url)
        if self.batch:
            yield from (aws.address(service, region=self.region) for service in ("bedrock", "s3"))

    def variables(self) -> Iterable[str]:
        return aws.VARIABLES

    def faults(self) -> Iterable[str]:
        yield from super().faults()
        if self.batch and self.limit is not None and self.limit < FEWEST:
            yield f"batch: AWS requires at least {FEWEST} records in a job; raise 'limit', or remove 'limit' or 'batch'"

    def rehearsal(self, rehearsal: Rehearsal) -> Bedrock:
        """Return the generator with replies made here, and note what credentials it would miss."""
        note_unasked(rehearsal, self.model)
        if self.batch:
            rehearsal.note("no batch job is made, and nothing is written to S3")
        note_missing_aws(rehearsal, self.region, self.profile)
        return standing_in(_Bedrock, self, batch=None)

    def batches(self, runner: RequestRunner, missing: Sequence[Request]) -> None:
        if self.batch:
            Batches(self.batch, runner, self.region, self.profile).answer(missing)


class _Bedrock(Bedrock):
    """Asks nobody."""

    def connect(self) -> Questions:  # type: ignore[override]  # answers as Converse does
        return Questions(self.questions_per_passage)

    def stays_here(self) -> bool:
        return True
